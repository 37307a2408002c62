// Tables that were stored in a file: what of them is believed, and what is checked.
//
// A search of tables from a file reads nothing outside them whatever they contain: sizes and places are checked here,
// when the file is opened; where a bucket lies and which rows it has, when it is read (probing.cpp). Wrong contents can
// only make wrong answers, against which are the checksums of blocks, and check_tables for who reads all of it anyway.
#pragma once

#include <cstddef>

#include "core/codes_view.hpp"
#include "mih/tables.hpp"

namespace hashkit {

// Whether the small things that a file says about tables can be: costs and expectations that are finite, distances that
// occur, no bucket for a key that there is not. The sizes of all arrays must fit already.
bool are_plausible(const Tables& tables) noexcept;

// Compares all contents of tables with those of the codes they are said to be of; throws a DamagedError.
void check_tables(const Tables& tables, CodesView codes, size_t n_threads);

}  // namespace hashkit
