/* SPDX-License-Identifier: Apache-2.0 */
/* layerhub/abi.h: the contract between a host's loader and a kernel plugin.
 *
 * A plugin is one shared library (per capability level) that exports one symbol, lh_plugin_query_v1. Everything else is
 * reached from the lh_plugin that it returns. The header is C11 and C++20, needs DLPack alone, and is for 64-bit
 * systems.
 *
 * Words: sdk/docs/rules.md has the rules with their tests, sdk/docs/abi-history.md what each minor added and why.
 *
 * Rules
 *  R1  A struct passed by pointer starts with struct_size. For a struct that the callee reads it is sizeof at the
 *      writer: the reader copies min(writer, own) bytes into a zeroed local, or uses it in place where struct_size is
 *      at least its own size (always so in forward: a copy there costs more than the call). For a struct that the
 *      callee fills, the caller sets struct_size to what it has room for and the callee writes at most that. A shorter
 *      struct is never an error. Fields are only appended.
 *  R2  Types that stand in contiguous arrays (lh_str, lh_arg, lh_attr, lh_attr_decl, lh_constraint, lh_tolerance,
 *      lh_shape, lh_scalar) are frozen; padding is explicit. What may grow is passed as an array of pointers.
 *  R3  No exception, longjmp, exit() or thread-local error state crosses the boundary.
 *  R4  Who allocates frees. Error text goes into a buffer of the host's. The host copies every lh_str that it keeps
 *      longer than the library is open.
 *  R5  The major version is in the symbol name (a library may export _v1 and _v2); the minor one is negotiated.
 *  R6  Optional features are string ids "name/revision" behind get_extension; a published id never changes layout.
 *  R7  Enumerators start at 1; 0 or NULL means "absent". Enums travel as uint32_t or int32_t.
 *
 * Threads: three tags stand behind the functions.
 *  [any thread]   may be called from any thread at any time, also concurrently with itself.
 *  [one at a time] the host never runs two such calls on the same object at once; which thread it is may change.
 *  [quiescent]    no other call into the object runs, and none follows.
 */
#ifndef LAYERHUB_ABI_H
#define LAYERHUB_ABI_H

#include <dlpack/dlpack.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LH_ABI_MAJOR 1u
#define LH_ABI_MINOR 0u /* the newest minor that this header describes */
#define LH_MAX_RANK 8

/* UTF-8, not NUL-terminated. {NULL, 0} is "absent" and the empty string alike. */
typedef struct lh_str {
  const char* data;
  size_t size;
} lh_str;

/* ---- Status and errors ------------------------------------------------------------------------------------------ */

enum { /* lh_status, travels as int32_t */
  LH_OK = 0,
  LH_DECLINED = 1, /* "not for me": outputs and states untouched, nothing enqueued; the host runs its own forward */
  LH_INVALID = 2,  /* an argument that no constraint could express is wrong: a capacity exceeded */
  LH_OUT_OF_MEMORY = 3,
  LH_UNSUPPORTED = 4,
  LH_INTERNAL = 5,
  LH_DEVICE_LOST = 6 /* sticky: the device context may be poisoned; the host must not retry in place */
};

/* The host's buffer for one line of text. The callee writes at most `capacity` bytes (cut at a character) and sets
 * `length`; it may set native_code to what the runtime below it said (cudaError_t, errno). Never NULL. */
typedef struct lh_error {
  uint32_t struct_size;
  int32_t native_code;
  char* text;
  uint32_t capacity;
  uint32_t length;
} lh_error;

/* ---- Modes, traits, devices ------------------------------------------------------------------------------------- */

enum {
  LH_MODE_INFERENCE = 1u,
  LH_MODE_TRAINING = 2u,
  LH_MODE_CAPTURE = 4u, /* graph capture */
  LH_MODE_DETERMINISTIC = 8u
};

enum { /* traits of a kernel. Training is supported iff backward != NULL. */
  LH_TRAIT_CAPTURE_SAFE = 1u,
  LH_TRAIT_DETERMINISTIC = 2u, /* same inputs, same bits, for any number of threads; any NaN is as good as another */
  LH_TRAIT_NO_HOST_SYNC = 4u,
  LH_TRAIT_OWNS_PARAMS = 8u, /* create() copied the params: the host may give its own away. Not in training. */
  LH_TRAIT_NO_WORKSPACE = 16u, /* forward needs no workspace and the constraints fix the shapes: infer() is asked in
                                  training alone */
  LH_TRAIT_CHECKS_TENSORS = 32u /* takes whatever tensors it is called with and checks them itself: the host checks
                                   nothing, not even alignment or overlap. With it no constraints are declared. */
};

enum { LH_PLUGIN_UNLOADABLE = 1u /* without it the library stays resident once loaded */ };

enum {
  LH_KERNEL_LAYER = 1,
  LH_KERNEL_FUNCTION /* a plain function: no params, no attributes; found by name beside layers */
};

/* Filled by the callee (R1). All text is the callee's and stays valid as long as the device runtime is open. */
typedef struct lh_device_info {
  uint32_t struct_size;
  uint32_t capability; /* CUDA 90 = sm_90; ROCm: see arch; CPU: x86-64 level 1..4; OpenCL 12, 30 */
  DLDevice device;
  uint64_t total_memory, free_memory; /* bytes */
  lh_str arch;                        /* "sm_90a", "gfx90a", "x86-64-v4" */
  lh_str features;                    /* comma separated, sorted: "avx512_bf16,avx512_vnni" */
  lh_str name, driver;
} lh_device_info;

/* ---- What a kernel declares ------------------------------------------------------------------------------------- */

enum { /* lh_arg.kind */
  LH_ARG_INPUT = 1,
  LH_ARG_PARAM,        /* a weight of the host's layer, given to create() and to each call */
  LH_ARG_OUTPUT,       /* overwritten; the host allocates it */
  LH_ARG_STATE,        /* updated in place, fixed capacity, for example a KV cache */
  LH_ARG_SAVED,        /* written by forward in training mode, read by backward */
  LH_ARG_SCALAR_INT,   /* scalars change from call to call: position, kv_length, scale */
  LH_ARG_SCALAR_FLOAT
};

/* One argument, in the order in which hosts pass them. formats: comma separated names of block formats that a param may
 * have beside plain dtypes ("gguf.q4_1": the tensor is uint8 [rows, bytes of one row] holding that format's blocks). */
typedef struct lh_arg {
  lh_str name;
  lh_str formats;
  uint32_t kind;
  uint32_t optional;
} lh_arg;

/* Constraints are data and the HOST checks them, so that no plugin can forget one. What is not stated is closed: dense
 * row-major, aligned to the element's size, no overlap between a written argument and any other. A constraint that
 * names an absent optional argument holds. For a param with a block format every constraint but DTYPE_IN sees the
 * logical shape (bytes of a row / bytes of a block * elements of a block); DTYPE_IN does not apply, `formats` does.
 * Rationale: on hubs without this, kernels that forgot a check returned wrong numbers for strided views. */
enum { /* lh_constraint.kind; dims count from 0, negative ones from the end (-1 is the last) */
  LH_C_DTYPE_IN = 1,      /* dtypes[n_dtypes] */
  LH_C_RANK,              /* a <= ndim <= b */
  LH_C_DIM_RANGE,         /* a <= shape[dim] <= b */
  LH_C_DIM_MULTIPLE,      /* shape[dim] % a == 0 */
  LH_C_SAME_SHAPE,        /* shape equals that of other */
  LH_C_SAME_SHAPE_EXCEPT, /* the same rank and shape as other, but for dim */
  LH_C_SAME_DTYPE,        /* dtype equals that of other */
  LH_C_DIM_RATIO,         /* shape[dim] * b == other.shape[other_dim] * a */
  LH_C_STRIDED_OK,        /* any non-negative strides are read (written) correctly */
  LH_C_LAST_DIM_DENSE,    /* with it: any non-negative strides but for the last dim, whose stride is 1 */
  LH_C_ALIGNED,           /* data + byte_offset is a multiple of a bytes */
  LH_C_MAY_ALIAS          /* arg may be exactly the same memory and layout as other */
};

typedef struct lh_constraint {
  uint32_t kind, arg, other; /* arg and other: indices into lh_kernel.args */
  int32_t dim, other_dim;
  uint32_t n_dtypes;
  int64_t a, b;
  const DLDataType* dtypes;
} lh_constraint;

/* How far this kernel may be from the layer's reference in double precision, for inputs of `dtype`:
 * |got - want| <= absolute + relative * |want| for each element, and sum((got - want)^2) / sum(want^2) <= max_nmse
 * where max_nmse is not 0. A dtype without a row: the most tolerant row holds. */
typedef struct lh_tolerance {
  DLDataType dtype;
  uint32_t reserved;
  double relative, absolute, max_nmse;
} lh_tolerance;

enum { LH_ATTR_INT = 1, LH_ATTR_FLOAT, LH_ATTR_BOOL, LH_ATTR_STRING, LH_ATTR_INTS };

typedef struct lh_attr {
  lh_str name;
  uint32_t kind, reserved;
  union {
    int64_t i; /* LH_ATTR_BOOL: 0 or 1 */
    double f;
    lh_str s;
    struct {
      const int64_t* data;
      size_t size;
    } ints;
  } value;
} lh_attr;

/* An attribute that a kernel reads. fallback: name and kind always, the value where it is not required. */
typedef struct lh_attr_decl {
  lh_attr fallback;
  uint32_t required, reserved;
} lh_attr_decl;

typedef struct lh_shape {
  int64_t dim[LH_MAX_RANK];
  int32_t ndim;
  DLDataType dtype;
} lh_shape;

typedef union lh_scalar {
  int64_t i;
  double f;
} lh_scalar;

/* ---- The host --------------------------------------------------------------------------------------------------- */

typedef struct lh_host { /* valid as long as the library is open */
  uint32_t struct_size, reserved;
  void* context;
  /* Returns the host's extension of that id ("lh.parallel/1", see abi/parallel.h), or NULL where the host has none.
   * What it points to is the host's and is valid as long as the library is open. [any thread] */
  const void* (*get_extension)(const struct lh_host*, const char* id);
  /* Hands one line to the host's log. level: 1 error, 2 warn, 3 info, 4 debug. [any thread] */
  void (*log)(const struct lh_host*, int32_t level, lh_str message);
} lh_host;

/* ---- A call ----------------------------------------------------------------------------------------------------- */

/* Everything behind it is the host's and borrowed for the call; tensors stay valid until the stream has passed.
 * Strides are never NULL. The first 64 bytes are all that an inference call needs, but for the workspace. */
typedef struct lh_call {
  uint32_t struct_size, mode;
  const lh_host* host;
  void* stream;                /* explicit, never thread-local; NULL on a CPU */
  DLDevice device;
  const DLTensor* const* in;   /* inputs, then params, in the declared order; NULL = optional and absent */
  DLTensor* const* out;        /* outputs, then states, in the declared order */
  const lh_scalar* scalars;    /* in the declared order */
  uint16_t n_in, n_out, n_scalars, n_saved;
  void* workspace;             /* at least as large as infer() asked for; 64-byte aligned; contents undefined */
  size_t workspace_size;
  DLTensor* const* saved;      /* training: written by forward, read by backward */
  const DLTensor* const* grad_out; /* backward: follows the outputs */
  DLTensor* const* grad_in;    /* backward: follows in; NULL = not wanted; overwritten, never accumulated */
} lh_call;

/* ---- A kernel --------------------------------------------------------------------------------------------------- */

typedef struct lh_instance lh_instance; /* the plugin's own; what create() made for one host layer on one device */

typedef struct lh_create_args {
  uint32_t struct_size, mode;
  const lh_host* host;
  const lh_device_info* device;
  void* stream;                   /* NULL on a CPU. The host waits for what create() enqueues, before the first call */
  const lh_attr* attrs;           /* every declared attribute in the declared order, fallbacks filled in */
  uint32_t n_attrs, n_params;
  const DLTensor* const* params;  /* in the declared order; NULL = optional and absent. Valid until destroy, unless
                                     LH_TRAIT_OWNS_PARAMS is set: then until create returns */
  const lh_str* param_formats;    /* "" for a plain dtype; valid until create returns */
} lh_create_args;

/* One implementation of one layer, or one plain kernel function. Constant data of the plugin. */
typedef struct lh_kernel {
  uint32_t struct_size;
  int32_t device_type;     /* a DLDeviceType */
  lh_str layer;            /* "SiluAndMul": the name that hosts map */
  lh_str implementation;   /* "avx512-vnni": told apart from the same layer's other kernels */
  uint64_t signature;      /* FNV-1a 64 over names and kinds of arguments and attributes; see sdk/signature.hpp */
  uint32_t min_capability, max_capability; /* inclusive; max 0 = unbounded */
  lh_str required_features; /* comma separated, sorted */
  uint32_t kind;            /* LH_KERNEL_LAYER or LH_KERNEL_FUNCTION */
  uint32_t traits;
  uint32_t n_args, n_attrs, n_constraints, n_tolerances;
  const lh_arg* args;
  const lh_attr_decl* attrs;
  const lh_constraint* constraints;
  const lh_tolerance* tolerances;

  /* Makes the instance for one host layer. NULL: the kernel keeps nothing; calls get a NULL instance.
   * Effect: may pack the params into memory of its own. Returns LH_OK and *out, or a status with *out NULL and text.
   * LH_DECLINED: not for these params; the policy decides. [any thread] */
  int32_t (*create)(const lh_create_args*, lh_instance** out, lh_error*);
  /* Reads the params again after they changed in place. NULL: the host destroys and creates. [quiescent] */
  int32_t (*update_params)(lh_instance*, const lh_create_args*, lh_error*);
  /* Shapes of outputs and saved tensors, and the bytes of workspace for these inputs (one lh_shape per input, then
   * per state).
   * NULL: no workspace, nothing saved, and the constraints fix the outputs' shapes. Called when a layout is first
   * seen, never in steady state. The workspace must do for every value of the scalars. [any thread]
   * Rationale: a state of growing use, a KV cache, must not cost an infer() for each token. */
  int32_t (*infer)(const lh_instance*, const lh_shape* in, uint32_t n_in, lh_shape* out, uint32_t n_out,
                   lh_shape* saved, uint32_t n_saved, size_t* forward_workspace, size_t* backward_workspace, lh_error*);
  /* Computes the outputs from the inputs on call->stream.
   * Returns LH_OK when all work is enqueued (on a CPU: done); LH_DECLINED when nothing was touched and the host shall
   * run its own forward; any other code: outputs are undefined and `error` holds the text.
   * Must not allocate outputs, start threads or throw [R3], nor synchronize the stream under LH_TRAIT_NO_HOST_SYNC.
   * Reentrant on one instance: scratch is the workspace, and 256 KiB of stack at most. [any thread] */
  int32_t (*forward)(const lh_instance*, const lh_call*, lh_error*);
  /* Gradients from saved tensors and grad_out into grad_in. `in` is that of the forward, `out` is not given (n_out is
   * 0). Gradients are dense, of the shape and dtype of what they belong to. NULL: no training. Otherwise as forward.
   * [any thread] */
  int32_t (*backward)(const lh_instance*, const lh_call*, lh_error*);
  /* Gives back what create() made, after the last call and its stream's work. NULL with a NULL create. [quiescent] */
  void (*destroy)(lh_instance*);
} lh_kernel;

/* ---- A plugin --------------------------------------------------------------------------------------------------- */

typedef struct lh_plugin { /* constant data of the plugin */
  uint32_t struct_size, abi_minor;
  lh_str repo, revision;      /* "layerhub/activation", "v1" */
  lh_str build_id, toolchain; /* for people: "gcc 12.2.0" */
  const lh_kernel* const* kernels;
  uint32_t n_kernels, flags;
  /* Returns the plugin's extension of that id ("lh.device/1": it brings a device runtime), or NULL. [any thread] */
  const void* (*get_extension)(const char* id);
  /* Before the library is closed. NULL: nothing to do. [quiescent] */
  int32_t (*shutdown)(lh_error*);
} lh_plugin;

/* The one exported symbol. *minor: in, the newest minor that the host speaks; out, the one used from here on.
 * Returns LH_OK and *out, constant data that is valid while the library is open; LH_UNSUPPORTED where the plugin's
 * newest minor is below host_min. Cheap: no device, file, thread or environment access. [any thread] */
typedef int32_t (*lh_plugin_query_fn)(uint32_t host_min, uint32_t* minor, const lh_plugin** out, lh_error*);

#define LH_PLUGIN_QUERY_SYMBOL "lh_plugin_query_v1"

#ifdef __cplusplus
}
#endif
#endif
