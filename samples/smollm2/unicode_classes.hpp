// SPDX-License-Identifier: Apache-2.0
// The three classes of characters that the tokenizer's rules name: \p{L}, \p{N} and white space.
#pragma once

namespace smollm2 {

bool is_letter(char32_t c);
bool is_number(char32_t c);
bool is_space(char32_t c);

}  // namespace smollm2
