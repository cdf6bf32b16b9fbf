// What every harness and every design includes, precompiled once and kept beside the objects of Verilator's library.

#ifndef FXSIM_HARNESS_LIBRARY_HPP
#define FXSIM_HARNESS_LIBRARY_HPP

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "verilated.h"
#if VM_COVERAGE
#include "verilated_cov.h"
#endif
#if VM_TRACE
#include "verilated_fst_c.h"
#endif

#endif
