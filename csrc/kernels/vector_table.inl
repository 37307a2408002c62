// The table, alike for every instruction set. Included within its namespace, whose unnamed namespace defines kThisIsa.
extern const VectorKernels kVectorTable;
const VectorKernels kVectorTable{
    kThisIsa,
    {sum_row<Product, float>, sum_row<Product, Half>, sum_row<Product, Bfloat>, sum_row<Product, int8_t>},
    {sum_row<ProductAndSquare, float>, sum_row<ProductAndSquare, Half>, sum_row<ProductAndSquare, Bfloat>,
     sum_row<ProductAndSquare, int8_t>},
    {sum_row<Difference, float>, sum_row<Difference, Half>, sum_row<Difference, Bfloat>, sum_row<Difference, int8_t>},
    {to_floats<float>, to_floats<Half>, to_floats<Bfloat>, to_floats<int8_t>},
    rotate,
    scan_planes,
    kFillPlaneTile,
    kScanPlaneTile,
    score_planes};
