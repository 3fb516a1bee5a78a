// SPDX-License-Identifier: Apache-2.0
// The public interface of llama.cpp under one set of names for it and for ik_llama.cpp, which was forked before some of
// them had theirs.
#pragma once

#include "llama.h"

#if __has_include("ggml-cpu.h")
#define LAYERHUB_PEER_IS_LLAMA_CPP 1
#include "ggml-cpu.h"
#endif

#include <cstddef>
#include <cstdint>

namespace llama_api {

#ifdef LAYERHUB_PEER_IS_LLAMA_CPP

inline constexpr std::int32_t batch_tokens = 512;

inline void free_model(llama_model* model) { llama_model_free(model); }

// Threads of one's own, which poll between two operations; they live as long as the process.
class Threads {
 public:
  explicit Threads(int count) {
    ggml_threadpool_params params = ggml_threadpool_params_default(count);
    pool_ = ggml_threadpool_new(&params);
  }
  void serve(llama_context* context) const { llama_attach_threadpool(context, pool_, pool_); }

 private:
  ggml_threadpool* pool_;
};

inline bool remove_from(llama_context* context, llama_pos first) {
  return llama_memory_seq_rm(llama_get_memory(context), 0, first, -1);
}
inline llama_batch batch_of(const llama_token* tokens, std::int32_t count, llama_pos) {
  return llama_batch_get_one(const_cast<llama_token*>(tokens), count);
}
inline std::int32_t tokenize(const llama_vocab* vocabulary, const char* text, std::size_t length, llama_token* tokens,
                             std::size_t most) {
  return llama_tokenize(vocabulary, text, static_cast<std::int32_t>(length), tokens, static_cast<std::int32_t>(most),
                        false, false);
}
inline std::int32_t piece(const llama_vocab* vocabulary, llama_token token, char* text, std::int32_t most) {
  return llama_token_to_piece(vocabulary, token, text, most, 0, true);
}

#else

// In batches of 32 tokens and more its results for Q4_1 are not those of llama.cpp (seen at 8337e4cd3, with AVX-512),
// so that it serves for decode alone.
inline constexpr std::int32_t batch_tokens = 16;

inline void free_model(llama_model* model) { llama_free_model(model); }

// OpenMP's, which the library starts itself.
class Threads {
 public:
  explicit Threads(int) {}
  void serve(llama_context*) const {}
};

inline bool remove_from(llama_context* context, llama_pos first) {
  return llama_kv_cache_seq_rm(context, 0, first, -1);
}
inline llama_batch batch_of(const llama_token* tokens, std::int32_t count, llama_pos first) {
  return llama_batch_get_one(const_cast<llama_token*>(tokens), count, first, 0);
}
inline std::int32_t tokenize(const llama_vocab* vocabulary, const char* text, std::size_t length, llama_token* tokens,
                             std::size_t most) {
  return llama_vocab_tokenize(vocabulary, text, static_cast<std::int32_t>(length), tokens,
                              static_cast<std::int32_t>(most), false, false);
}
inline std::int32_t piece(const llama_vocab* vocabulary, llama_token token, char* text, std::int32_t most) {
  return llama_token_to_piece_vocab(vocabulary, token, text, most, 0, true);
}

#endif

}  // namespace llama_api
