`default_nettype none

// One channel's scaling with constants that come with the value: y = sat8(round_shift(x * w, s) + b).
//
// Takes x, w, b and s in a cycle with `enable`; y is there in the next cycle, combinational from the registers that hold
// the product, b and s, and stays until a cycle after the next `enable`.
module affine_lane (
    input  wire       clk,
    input  wire       enable,
    input  wire [7:0] x,       // two's complement
    input  wire [7:0] w,       // two's complement
    input  wire [7:0] b,       // two's complement, at the scale of y
    input  wire [7:0] s,       // unsigned
    output wire [7:0] y        // two's complement
);

  localparam PRODUCT_W = 16;  // int8 * int8

  wire signed [PRODUCT_W-1:0] x_extended = {{8{x[7]}}, x};
  wire signed [PRODUCT_W-1:0] w_extended = {{8{w[7]}}, w};
  wire [PRODUCT_W-1:0] product = x_extended * w_extended;

  reg [PRODUCT_W-1:0] product_reg;
  reg [7:0] b_reg;
  reg [7:0] s_reg;

  always @(posedge clk) begin
    if (enable) begin
      product_reg <= product;
      b_reg <= b;
      s_reg <= s;
    end
  end

  requantise #(
      .ACC_W(PRODUCT_W)
  ) requantise_product (
      .acc(product_reg),
      .shift(s_reg),
      .bias(b_reg),
      .y(y)
  );

endmodule

`default_nettype wire
