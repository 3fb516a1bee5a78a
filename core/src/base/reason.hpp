// SPDX-License-Identifier: Apache-2.0
// Making and rendering Reasons. A Reason's text is one line, `<thing>: <fact>; <remedy>`; its facts are what was
// compared. People get the text with the facts indented below it, programs get JSON, both from here, so that the same
// refusal reads the same in an exception, in explain() and on the command line.
#pragma once

#include "base/json.hpp"
#include "base/result.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace layerhub {

Reason make_reason(ErrorCode code, std::string_view rule, std::string text, std::vector<Fact> facts = {});

// The text, then one indented line per fact: "  needs: CUDA 13.0". A fact without a name is its value alone.
std::string to_text(const Reason& reason);

// {"code": "no_variant", "rule": "variant", "text": "...", "facts": [{"name": "needs", "value": "CUDA 13.0"}]}
// Facts are a list and not an object: their order is part of the message and names may repeat.
Json to_json(const Reason& reason);

// Text from outside (a file's field, a folder's name) for use inside one line of a message: control characters become
// '?', so that a hostile name cannot forge a second line or drive a terminal, and long text is cut with "...".
std::string printable(std::string_view text, std::size_t longest = 120);

}  // namespace layerhub
