// SPDX-License-Identifier: Apache-2.0
// LAYERHUB_API: what liblayerhub.so exports. Everything else in it is hidden.
#pragma once

#define LAYERHUB_API __attribute__((visibility("default")))
