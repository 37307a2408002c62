// The table of the kernels in scalar_kernels.inl, bit_slices.inl and scalar_pack.inl. Included inside an instruction
// set's namespace, after these files. An instruction set with faster kernels replaces single entries by name. The
// tables are constant expressions: nothing of an instruction set may run before the machine is known to have it.
constexpr KernelTable base_table(Isa isa) noexcept {
  KernelTable table{};
  table.isa = isa;
  table.distances = distances;
  table.scan = scan;
  table.scan_runs = scan_runs;
  table.scan_listed_runs = scan_listed_runs;
  table.tile_codes = tile_codes;
  table.tile_bytes = tile_bytes;
  table.query_bytes = query_bytes;
  table.fill_tile = fill_tile;
  table.fill_query = fill_query;
  table.scan_tile = scan_tile;
  table.pack_float32 = pack<float>;
  table.pack_float16 = pack<uint16_t>;
  table.pack_bytes = pack<uint8_t>;
  return table;
}
