// SPDX-License-Identifier: Apache-2.0
// llama.cpp, or ik_llama.cpp, as the other side of a comparison: it answers the commands of
// samples/smollm2/session.hpp, in the same words, through its public interface, set up as its own benchmark does:
// threads of its own, batches of 512 (ik_llama.cpp: 16), flash attention and f16 caches as it chooses by itself.
// Compiled by tests/bench/peers against the headers of either, outside this tree.
//
//   llama_worker MODEL THREADS             serves; beside the model's commands, llama.cpp's also for a matrix in Q4_1
//                                          and a float vector in FILE:
//                                            product FILE ROWS COLUMNS          the floats of their product
//                                            matvec FILE ROWS COLUMNS REPEATS   nanoseconds of so many, in one thread
//   llama_worker MODEL --as-f32 FILE       writes the model with its weights in F32: its faster form for prefill
//   llama_worker --version                 what it was built from and for
#include "llama_api.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Ids = std::vector<llama_token>;

using llama_api::batch_tokens;

struct FreeModel {
  void operator()(llama_model* model) const { llama_api::free_model(model); }
};
struct FreeContext {
  void operator()(llama_context* context) const { llama_free(context); }
};

#ifdef LAYERHUB_PEER_IS_LLAMA_CPP
// ggml's product of a matrix in Q4_1 and a vector: the vector is quantized, then each row is one call of its dot
// product.
class MatrixVector {
 public:
  MatrixVector(const std::string& path, std::int64_t rows, std::int64_t columns)
      : rows_(rows),
        columns_(columns),
        matrix_(static_cast<std::size_t>(rows) * ggml_row_size(GGML_TYPE_Q4_1, columns)) {
    ggml_cpu_init();
    dot_ = ggml_get_type_traits_cpu(GGML_TYPE_Q4_1);
    quantize_ = ggml_get_type_traits_cpu(dot_->vec_dot_type)->from_float;
    x_.resize(static_cast<std::size_t>(columns));
    y_.resize(static_cast<std::size_t>(rows));
    quantized_.resize(ggml_row_size(dot_->vec_dot_type, columns));
    std::ifstream file(path, std::ios::binary);
    file.read(matrix_.data(), static_cast<std::streamsize>(matrix_.size()));
    file.read(reinterpret_cast<char*>(x_.data()), static_cast<std::streamsize>(4 * x_.size()));
    if (!file) throw std::runtime_error(path + ": it is too short for a matrix and a vector of this size");
  }

  std::string product() {
    multiply();
    std::ostringstream text;
    for (const float value : y_) text << value << " ";
    return text.str();
  }

  std::int64_t time(std::int32_t repeats) {
    multiply();
    const auto begin = Clock::now();
    for (std::int32_t i = 0; i < repeats; ++i) multiply();
    return std::chrono::nanoseconds(Clock::now() - begin).count();
  }

 private:
  void multiply() {
    quantize_(x_.data(), quantized_.data(), columns_);
    const std::size_t row_bytes = ggml_row_size(GGML_TYPE_Q4_1, columns_);
    for (std::int64_t row = 0; row < rows_; ++row) {
      dot_->vec_dot(static_cast<int>(columns_), &y_[static_cast<std::size_t>(row)], 0,
                    matrix_.data() + static_cast<std::size_t>(row) * row_bytes, 0, quantized_.data(), 0, 1);
    }
  }

  std::int64_t rows_, columns_;
  const ggml_type_traits_cpu* dot_ = nullptr;
  ggml_from_float_t quantize_ = nullptr;
  std::vector<char> matrix_, quantized_;
  std::vector<float> x_, y_;
};
#endif

class Session {
 public:
  Session(const char* path, int threads) : threads_(threads), pool_(threads) {
    model_.reset(llama_model_load_from_file(path, llama_model_default_params()));
    if (!model_) throw std::runtime_error(std::string(path) + ": it cannot be loaded; give another model");
    vocabulary_ = llama_model_get_vocab(model_.get());
  }

  std::string answer(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "tokens") {
      stream_ = ids(words);
      caches_.clear();
      return std::to_string(stream_.size());
    }
    std::int32_t first = 0, second = 0;
    if (command == "prefill" && words >> first) return std::to_string(prefill(first));
    if (command == "decode" && words >> first >> second) return std::to_string(decode(first, second));
    if (command == "first") return first_token(std::string(std::istreambuf_iterator<char>(words), {}));
    if (command == "top") return top(ids(words));
    if (command == "top-by-one" && words >> first) return top_by_one(first, ids(words));
#ifdef LAYERHUB_PEER_IS_LLAMA_CPP
    if (command == "product" || command == "matvec") {
      std::string file;
      if (words >> file >> first >> second) {
        std::int32_t repeats = 1;
        words >> repeats;
        return command == "product" ? MatrixVector(file, first, second).product()
                                    : std::to_string(MatrixVector(file, first, second).time(repeats));
      }
    }
#endif
    throw std::runtime_error("`" + command + "` is no command with these arguments; session.hpp lists them");
  }

 private:
  static Ids ids(std::istream& words) {
    return {std::istream_iterator<llama_token>(words), std::istream_iterator<llama_token>()};
  }

  // A context whose cache holds the stream's first `filled` tokens.
  struct Cache {
    std::unique_ptr<llama_context, FreeContext> context;
    std::int32_t filled = 0;
  };

  // One for each depth, since a context that is shortened forgets what it held beyond.
  Cache& cache_for(std::int32_t depth, std::int32_t capacity) {
    Cache& cache = caches_[depth];
    if (cache.context && static_cast<std::int32_t>(llama_n_ctx(cache.context.get())) >= capacity) return cache;
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<std::uint32_t>(std::max(capacity, batch_tokens));  // a batch is not larger than that
    params.n_batch = params.n_ubatch = batch_tokens;
    params.n_threads = params.n_threads_batch = threads_;
    cache = {std::unique_ptr<llama_context, FreeContext>(llama_init_from_model(model_.get(), params)), 0};
    if (!cache.context) throw std::runtime_error("it makes no context of " + std::to_string(capacity) + " tokens");
    pool_.serve(cache.context.get());
    return cache;
  }

  static void shorten(Cache& cache, std::int32_t length) {
    if (!llama_api::remove_from(cache.context.get(), length)) {
      throw std::runtime_error("it does not shorten its cache");
    }
    cache.filled = std::min(cache.filled, length);
  }

  static void feed(Cache& cache, const llama_token* tokens, std::int32_t count) {
    if (llama_decode(cache.context.get(), llama_api::batch_of(tokens, count, cache.filled)) != 0) {
      throw std::runtime_error("it computes nothing for these tokens");
    }
    cache.filled += count;
  }
  static void feed_in_batches(Cache& cache, const Ids& tokens) {
    for (std::size_t i = 0; i < tokens.size(); i += batch_tokens) {
      feed(cache, tokens.data() + i, std::min(batch_tokens, static_cast<std::int32_t>(tokens.size() - i)));
    }
    llama_synchronize(cache.context.get());
  }

  Ids stream(std::int32_t from, std::int32_t count) const {
    if (stream_.empty()) throw std::runtime_error("there are no tokens to feed; give `tokens ID...` first");
    Ids fed;
    for (std::int32_t i = from; i < from + count; ++i) {
      fed.push_back(stream_[static_cast<std::size_t>(i) % stream_.size()]);
    }
    return fed;
  }

  std::int64_t prefill(std::int32_t count) {
    const Ids fed = stream(0, count);
    Cache& cache = cache_for(0, count);
    shorten(cache, 0);
    const auto begin = Clock::now();
    feed_in_batches(cache, fed);
    return std::chrono::nanoseconds(Clock::now() - begin).count();
  }

  std::int64_t decode(std::int32_t depth, std::int32_t count) {
    Cache& cache = cache_for(depth, depth + count);
    if (cache.filled < depth) feed_in_batches(cache, stream(cache.filled, depth - cache.filled));
    const Ids fed = stream(depth, count);
    shorten(cache, depth);
    feed(cache, fed.data(), 1);  // wakes the threads
    shorten(cache, depth);
    const auto begin = Clock::now();
    for (const llama_token& id : fed) feed(cache, &id, 1);
    llama_synchronize(cache.context.get());
    return std::chrono::nanoseconds(Clock::now() - begin).count();
  }

  llama_token likeliest(const float* logits) const {
    return static_cast<llama_token>(std::max_element(logits, logits + llama_vocab_n_tokens(vocabulary_)) - logits);
  }

  std::string first_token(const std::string& json) {
    const std::string text = nlohmann::json::parse(json).get<std::string>();
    Ids prompt(text.size() + 1);
    prompt.resize(static_cast<std::size_t>(
        std::max(0, llama_api::tokenize(vocabulary_, text.data(), text.size(), prompt.data(), prompt.size()))));
    Cache& cache = cache_for(0, static_cast<std::int32_t>(prompt.size()) + 1);
    shorten(cache, 0);
    feed_in_batches(cache, prompt);
    char piece[256];
    const int length =
        llama_api::piece(vocabulary_, likeliest(llama_get_logits_ith(cache.context.get(), -1)), piece, sizeof piece);
    return nlohmann::json(std::string(piece, static_cast<std::size_t>(std::max(0, length))))
        .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  }

  std::string top(const Ids& fed) {
    Cache& cache = cache_for(0, static_cast<std::int32_t>(fed.size()));
    shorten(cache, 0);
    std::string answer;
    llama_batch batch = llama_batch_init(batch_tokens, 0, 1);
    for (std::size_t i = 0; i < fed.size();) {
      for (batch.n_tokens = 0; batch.n_tokens < batch_tokens && i < fed.size(); ++batch.n_tokens, ++i) {
        const auto at = static_cast<std::size_t>(batch.n_tokens);
        batch.token[at] = fed[i];
        batch.pos[at] = static_cast<llama_pos>(i);
        batch.n_seq_id[at] = 1;
        batch.seq_id[at][0] = 0;
        batch.logits[at] = 1;
      }
      if (llama_decode(cache.context.get(), batch) != 0) {
        throw std::runtime_error("it computes nothing for these tokens");
      }
      for (std::int32_t k = 0; k < batch.n_tokens; ++k) {
        answer += std::to_string(likeliest(llama_get_logits_ith(cache.context.get(), k))) + " ";
      }
    }
    llama_batch_free(batch);
    shorten(cache, 0);  // these were not the stream's tokens
    return answer;
  }

  std::string top_by_one(std::int32_t first, const Ids& fed) {
    if (first < 0 || static_cast<std::size_t>(first) > fed.size()) {
      throw std::runtime_error("N is beyond the tokens; session.hpp lists the commands");
    }
    Cache& cache = cache_for(0, static_cast<std::int32_t>(fed.size()));
    shorten(cache, 0);
    feed_in_batches(cache, {fed.begin(), fed.begin() + first});
    std::string answer;
    for (auto id = fed.begin() + first; id != fed.end(); ++id) {
      feed(cache, &*id, 1);
      answer += std::to_string(likeliest(llama_get_logits_ith(cache.context.get(), -1))) + " ";
    }
    shorten(cache, 0);  // these were not the stream's tokens
    return answer;
  }

  int threads_;
  std::unique_ptr<llama_model, FreeModel> model_;
  std::map<std::int32_t, Cache> caches_;
  const llama_vocab* vocabulary_ = nullptr;
  llama_api::Threads pool_;
  Ids stream_;
};

int serve(const char* path, int threads) {
  std::unique_ptr<Session> session;
  for (std::string line; std::getline(std::cin, line);) {
    std::string answer;
    try {
      if (!session) session = std::make_unique<Session>(path, threads);
      answer = session->answer(line);
    } catch (const std::exception& error) {
      answer = std::string("error ") + error.what();
    }
    std::cout << answer << std::endl;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  const std::string option = argc > 1 ? argv[1] : "";
  if (option == "--version") {
    std::printf("%s; %s\n", LLAMA_WORKER_BUILD, llama_print_system_info());
    return 0;
  }
  if (argc == 4 && std::string(argv[2]) == "--as-f32") {
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = LLAMA_FTYPE_ALL_F32;
    params.allow_requantize = true;
    return llama_model_quantize(argv[1], argv[3], &params) == 0 ? 0 : 1;
  }
  if (argc != 3) {
    std::fprintf(stderr, "usage: llama_worker MODEL THREADS | MODEL --as-f32 FILE | --version\n");
    return 2;
  }
  return serve(argv[1], std::atoi(argv[2]));
}
