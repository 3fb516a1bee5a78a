// SPDX-License-Identifier: Apache-2.0
// Answers that one process works out and the next ones find: which variant serves a repository, that a library may be
// opened. Each is a file of its own in the cache folder, named by a hash of its question, so that a start reads what it
// asks for and nothing else, however many plugins there are.
//
// An answer carries what it was read from (witness.hpp) and whoever asks checks that; here is only kept that the bytes
// are those that this build of layerhub wrote for this question. A file that is cut off, damaged, of another build or
// not the user's alone is as good as none. It is written beside and renamed, not synced: after a crash it may be
// damaged, and is made again. Nothing fails because of this cache; a privileged process has none, since whoever starts
// it may have chosen the folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace layerhub {

// What was saved for the question, which is of any length and may hold any byte. [thread-safe]
std::optional<std::string> find_answer(std::string_view kind, std::string_view question);

// In place of the one that was there. [thread-safe]
void save_answer(std::string_view kind, std::string_view question, std::string_view answer);

}  // namespace layerhub
