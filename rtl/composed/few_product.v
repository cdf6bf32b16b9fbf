`default_nettype none

// Products of the values of two streams, y = x * r: each value of x with the next COLUMNS of r, one after the other. A beat
// of r leaves only together with its x; a beat of x waits at its port and leaves together with the last of its beats of r.
// Beats count, so that the first of r after reset is the first of an x.
//
// Full rate of r. Latency 2 cycles (values, product); the inputs' tready depend combinationally on m_axis_tready and on each
// other's tvalid. Capacity 2 beats.
//
// Parameters
//   COLUMNS        values of r for each of x, 1 or more
//   LANES          values of a beat of r and of y, a divisor of COLUMNS; a beat of x is one value
//   X_W, X_SIGNED  width of x, bits, 1 to 16; 1: it is two's complement, 0: unsigned
//   R_W, R_SIGNED  the same of r
//   Y_W            width of y, two's complement, bits, 1 to 32; a product that does not fit is given modulo 2^Y_W
module few_product #(
    parameter COLUMNS = 4,
    parameter LANES = 1,
    parameter X_W = 16,
    parameter X_SIGNED = 0,
    parameter R_W = 12,
    parameter R_SIGNED = 0,
    parameter Y_W = 29
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [      X_W-1:0] s0_axis_tdata,   // x
    input  wire                 s0_axis_tvalid,
    output wire                 s0_axis_tready,
    input  wire [LANES*R_W-1:0] s1_axis_tdata,   // r
    input  wire                 s1_axis_tvalid,
    output wire                 s1_axis_tready,
    output wire [LANES*Y_W-1:0] m_axis_tdata,
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready
);

  generate
    if (COLUMNS < 1 || LANES < 1 || COLUMNS % LANES != 0) begin : illegal_lanes
      illegal_parameter_COLUMNS_is_no_multiple_of_LANES stop ();
    end
    if (X_W < 1 || X_W > 16 || R_W < 1 || R_W > 16) begin : illegal_width
      illegal_parameter_X_W_or_R_W_is_not_1_to_16 stop ();
    end
    if (X_SIGNED < 0 || X_SIGNED > 1 || R_SIGNED < 0 || R_SIGNED > 1) begin : illegal_sign
      illegal_parameter_SIGNED_is_not_0_or_1 stop ();
    end
    if (Y_W < 1 || Y_W > 32) begin : illegal_y_w
      illegal_parameter_Y_W_is_not_1_to_32 stop ();
    end
  endgenerate

  localparam GROUPS = COLUMNS / LANES;  // beats of r for each x
  localparam GROUP_W = (GROUPS > 1) ? $clog2(GROUPS) : 1;
  localparam [31:0] LAST_32 = GROUPS - 1;
  localparam [GROUP_W-1:0] LAST = LAST_32[GROUP_W-1:0];

  reg [GROUP_W-1:0] group_reg;
  reg values_valid_reg;
  reg y_valid_reg;

  wire y_free = !y_valid_reg || m_axis_tready;
  wire values_free = !values_valid_reg || y_free;
  wire last = group_reg == LAST;
  assign s0_axis_tready = values_free && s1_axis_tvalid && last;
  assign s1_axis_tready = values_free && s0_axis_tvalid;
  wire accepted = values_free && s0_axis_tvalid && s1_axis_tvalid;

  always @(posedge clk) begin
    if (rst) begin
      group_reg <= {GROUP_W{1'b0}};
      values_valid_reg <= 1'b0;
      y_valid_reg <= 1'b0;
    end else begin
      if (accepted) group_reg <= last ? {GROUP_W{1'b0}} : group_reg + 1'b1;
      if (values_free) values_valid_reg <= accepted;
      if (y_free) y_valid_reg <= values_valid_reg;
    end
  end

  reg [X_W-1:0] x_reg;
  always @(posedge clk) if (accepted) x_reg <= s0_axis_tdata;
  wire signed [32:0] x = {{(33 - X_W) {X_SIGNED != 0 && x_reg[X_W-1]}}, x_reg};

  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      reg  [R_W-1:0] r_reg;
      reg  [Y_W-1:0] y_reg;
      wire signed [32:0] r = {{(33 - R_W) {R_SIGNED != 0 && r_reg[R_W-1]}}, r_reg};
      wire signed [32:0] product = x * r;
      always @(posedge clk) begin
        if (accepted) r_reg <= s1_axis_tdata[R_W*n+:R_W];
        if (values_valid_reg && y_free) y_reg <= product[Y_W-1:0];
      end
      assign m_axis_tdata[Y_W*n+:Y_W] = y_reg;
      if (Y_W < 33) begin : beyond
        wire unused = &{1'b0, product[32:Y_W]};
      end
    end
  endgenerate

  assign m_axis_tvalid = y_valid_reg;

endmodule

`default_nettype wire
