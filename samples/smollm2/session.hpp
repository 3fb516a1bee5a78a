// SPDX-License-Identifier: Apache-2.0
// A model that another process asks for its times: commands on standard input, one line of answer each. Programs that
// are to be compared take turns this way, each warm and never two at a time; tests/bench/peers has the other side.
//
//   tokens ID...         what the next two are fed; it begins again at its end
//   prefill COUNT        nanoseconds of that many tokens at once, from an empty cache
//   decode DEPTH COUNT   nanoseconds of that many tokens one by one, with DEPTH tokens in the cache before them
//   first TEXT           the text of the token that follows this prompt (JSON string, special tokens as plain text)
//   top ID...            the likeliest token after each of these, which are fed in batches
//   top-by-one N ID...   the same after each but the first N, which are fed at once; the others one by one
//   memory               bytes: the most that was resident, and those of caches and activations
//
// An answer that begins with "error" is one.
#pragma once

#include "model.hpp"
#include "tokenizer.hpp"

#include <iosfwd>

namespace smollm2 {

// Until the input ends. The layers are bound already.
void serve_session(const Model& model, const Tokenizer& tokenizer, std::istream& in, std::ostream& out);

}  // namespace smollm2
