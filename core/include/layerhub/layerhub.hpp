// SPDX-License-Identifier: Apache-2.0
// All of the API, in the order in which to read it.
#pragma once

#include <layerhub/buffer.hpp>
#include <layerhub/device.hpp>
#include <layerhub/error.hpp>
#include <layerhub/events.hpp>
#include <layerhub/explain.hpp>
#include <layerhub/function.hpp>
#include <layerhub/kernel_function.hpp>
#include <layerhub/kernelize.hpp>
#include <layerhub/layer.hpp>
#include <layerhub/mapping.hpp>
#include <layerhub/members.hpp>
#include <layerhub/parallel.hpp>
#include <layerhub/prepared.hpp>
#include <layerhub/scope.hpp>
#include <layerhub/stream.hpp>
#include <layerhub/tensor.hpp>
#include <layerhub/training.hpp>
