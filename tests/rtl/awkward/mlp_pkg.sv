// Sizes and types of the design, of which every file makes use.
package mlp_pkg;
  typedef logic signed [7:0] value_t;
  localparam int INPUTS = 6;
  localparam int LANES = 2;
endpackage
