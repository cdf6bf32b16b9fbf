`default_nettype none

// Channel mixer (MLP) of one block:
//   PSA:   r = res_affine(x);  y = psa_1(x);  y = linear_1(y);  y = psa_2(y);  y = linear_2(y);  m_axis = add(y, r)
//   ReLU:  r = res_affine(x);  y = linear_1(x);  y = relu(y);  y = linear_2(y);  m_axis = add(y, r)
//
//          +-> [psa_1] -> linear_1 -> psa_2 | relu -> linear_2 --+
//   fork --|                                                     |--> add --> register slice
//          +-> res_affine -> FIFO -------------------------------+
//
// Streams have LANES values a beat: where the following says values, channels and HIDDEN, of more than one lane it is
// beats, and beats of a token.
//
// Depth of the FIFO. At full rate a token takes PERIOD = max(CHANNELS, HIDDEN) cycles. Let the main path take the last
// value of token n in cycle n * PERIOD and the token's others in the CHANNELS - 1 cycles before it: linear_1 needs them
// no earlier. linear_1 then gives HIDDEN values, the last of them completes linear_2's row, and the add takes the
// token's CHANNELS values from cycle n * PERIOD + HIDDEN - 1 + MAIN_LATENCY on. The residual path must hold whatever
// the main path has taken and the add has not. Three of these values need no place in the FIFO: two stand in
// res_affine, one still waits in the fork for the residual side. So in cycle n * PERIOD - 1 all values but the last
// three must have entered the FIFO, where places of values that left in cycle n * PERIOD - 2 or before are free again.
// With LAG = HIDDEN + MAIN_LATENCY + 1 and TOKENS_BEHIND = ceil(LAG / PERIOD), all tokens before token
// n - TOKENS_BEHIND have left by then, and of that token TOKENS_BEHIND * PERIOD - LAG + 1 values, at most CHANNELS.
// Before a token's last value no more room is needed: with each step back one value less has come and at most one less
// has gone. (HIDDEN <= CHANNELS: the depth is CHANNELS + LAG - 4, as for any gapless stream.) With less the fork has to
// wait and linear_1 runs dry.
//
// Parameters
//   CHANNELS        channels of a token, 1 or more, a multiple of LANES
//   HIDDEN          hidden channels, 1 or more, a multiple of LANES
//   LANES           values of a beat: 1, 2 or 4
//   PACKED          1: the linears make two products in a multiplier; see linear.v
//   PSA             1: activation tables before either linear; 0: ReLU between them
//   POINTS          points of a table, a power of two, 4 to 256 (PSA only)
//   TABLE_RULE      0 clamp, 1 hold, 2 endpoint, 3 full (PSA only); see activation_table.v
//   LINEAR_1_ACC_W  accumulator width of linear_1, bits, 16 or more
//   LINEAR_2_ACC_W  accumulator width of linear_2, bits, 16 or more
//   BLOCK_ROM       1: the linears' weights in memory blocks; see linear.v
//   BLOCK           number of the block in the names of its ROM files, 0 to 99
//   RESIDUAL_DEPTH  beats the residual FIFO holds; 0: as derived here, anything else only to test the derivation
module mlp #(
    parameter CHANNELS = 96,
    parameter HIDDEN = 96,
    parameter LANES = 1,
    parameter PACKED = 0,
    parameter PSA = 1,
    parameter POINTS = 64,
    parameter TABLE_RULE = 0,
    parameter LINEAR_1_ACC_W = 23,
    parameter LINEAR_2_ACC_W = 23,
    parameter BLOCK_ROM = 0,
    parameter BLOCK = 0,
    parameter RESIDUAL_DEPTH = 0
) (
    input  wire                                   clk,
    input  wire                                   rst,
    input  wire [                    8*LANES-1:0] s_axis_tdata,
    input  wire                                   s_axis_tvalid,
    output wire                                   s_axis_tready,
    output wire [                    8*LANES-1:0] m_axis_tdata,
    output wire                                   m_axis_tvalid,
    input  wire                                   m_axis_tready,
    // PSA: res_affine, psa_1, linear_1, psa_2, linear_2, add; ReLU: res_affine, linear_1, relu, linear_2, add
    output wire [            (PSA ? 6 : 5) - 1:0] mon_valid,
    output wire [            (PSA ? 6 : 5) - 1:0] mon_ready,
    output wire [8 * LANES * (PSA ? 6 : 5) - 1:0] mon_data
);

  // Latencies of the modules, cycles, and what an affine holds; see their headers.
  localparam AFFINE_CAPACITY = 2;  // beats
  localparam BEFORE_LATENCY = PSA ? 3 : 0;      // psa_1, or nothing
  localparam ACTIVATION_LATENCY = PSA ? 3 : 1;  // psa_2 or relu
  localparam LINEAR_1_LATENCY = 4 + ($clog2(CHANNELS) + 1) / 2;
  localparam LINEAR_2_LATENCY = 4 + ($clog2(HIDDEN) + 1) / 2;
  localparam MAIN_LATENCY = BEFORE_LATENCY + LINEAR_1_LATENCY + ACTIVATION_LATENCY + LINEAR_2_LATENCY;

  localparam TOKEN = CHANNELS / LANES;  // beats of a token, and of what is hidden of it
  localparam HIDDEN_TOKEN = HIDDEN / LANES;
  localparam PERIOD = (TOKEN > HIDDEN_TOKEN) ? TOKEN : HIDDEN_TOKEN;
  localparam LAG = HIDDEN_TOKEN + MAIN_LATENCY + 1;
  localparam TOKENS_BEHIND = (LAG + PERIOD - 1) / PERIOD;
  localparam LEAVING = TOKENS_BEHIND * PERIOD - LAG + 1;
  localparam GONE = (LEAVING < TOKEN) ? LEAVING : TOKEN;
  localparam OUTSIDE = AFFINE_CAPACITY + 1;
  localparam NEEDED = TOKEN + TOKENS_BEHIND * TOKEN - GONE - OUTSIDE;
  localparam LEAST = (TOKEN == 1) ? 1 : 2;  // one entry would not pass two values in successive cycles
  localparam DERIVED_DEPTH = (NEEDED < LEAST) ? LEAST : NEEDED;
  localparam DEPTH = (RESIDUAL_DEPTH == 0) ? DERIVED_DEPTH : RESIDUAL_DEPTH;

  generate
    if (BLOCK < 0 || BLOCK > 99) begin : illegal_block
      illegal_parameter_BLOCK_is_not_0_to_99 stop ();
    end
    if (PSA != 0 && PSA != 1) begin : illegal_psa
      illegal_parameter_PSA_is_not_0_or_1 stop ();
    end
  endgenerate

  // Names of the ROM files
  localparam [31:0] TENS = BLOCK / 10;
  localparam [31:0] UNITS = BLOCK % 10;
  localparam [7:0] TENS_DIGIT = 8'd48 + TENS[7:0];
  localparam [7:0] UNITS_DIGIT = 8'd48 + UNITS[7:0];
  localparam [7*8-1:0] PREFIX = {"block", TENS_DIGIT, UNITS_DIGIT};

  wire [8*LANES-1:0] main_in_tdata, res_affine_in_tdata;
  wire main_in_tvalid, res_affine_in_tvalid;
  wire main_in_tready, res_affine_in_tready;
  wire [8*LANES-1:0] res_affine_tdata, residual_tdata;
  wire res_affine_tvalid, residual_tvalid;
  wire res_affine_tready, residual_tready;
  wire [8*LANES-1:0] linear_1_in_tdata, linear_1_tdata, activation_tdata, linear_2_tdata, add_tdata;
  wire linear_1_in_tvalid, linear_1_tvalid, activation_tvalid, linear_2_tvalid, add_tvalid;
  wire linear_1_in_tready, linear_1_tready, activation_tready, linear_2_tready, add_tready;

  axis_fork #(
      .DATA_W(8 * LANES)
  ) fork_input (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .m0_axis_tdata(main_in_tdata),
      .m0_axis_tvalid(main_in_tvalid),
      .m0_axis_tready(main_in_tready),
      .m1_axis_tdata(res_affine_in_tdata),
      .m1_axis_tvalid(res_affine_in_tvalid),
      .m1_axis_tready(res_affine_in_tready)
  );

  // Residual path
  affine #(
      .LANES(LANES),
      .CHANNELS(CHANNELS),
      .W_FILE({PREFIX, "_mlp_res_affine_w.hex"}),
      .B_FILE({PREFIX, "_mlp_res_affine_b.hex"}),
      .S_FILE({PREFIX, "_mlp_res_affine_s.hex"})
  ) res_affine (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(res_affine_in_tdata),
      .s_axis_tvalid(res_affine_in_tvalid),
      .s_axis_tready(res_affine_in_tready),
      .m_axis_tdata(res_affine_tdata),
      .m_axis_tvalid(res_affine_tvalid),
      .m_axis_tready(res_affine_tready)
  );

  axis_fifo #(
      .DATA_W(8 * LANES),
      .DEPTH(DEPTH)
  ) residual_fifo (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(res_affine_tdata),
      .s_axis_tvalid(res_affine_tvalid),
      .s_axis_tready(res_affine_tready),
      .m_axis_tdata(residual_tdata),
      .m_axis_tvalid(residual_tvalid),
      .m_axis_tready(residual_tready)
  );

  // Main path
  generate
    if (PSA) begin : tables
      activation_table #(
          .LANES(LANES),
          .CHANNELS(CHANNELS),
          .POINTS(POINTS),
          .TABLE_RULE(TABLE_RULE),
          .T_FILE({PREFIX, "_mlp_psa_1_t.hex"})
      ) psa_1 (
          .clk(clk),
          .rst(rst),
          .s_axis_tdata(main_in_tdata),
          .s_axis_tvalid(main_in_tvalid),
          .s_axis_tready(main_in_tready),
          .m_axis_tdata(linear_1_in_tdata),
          .m_axis_tvalid(linear_1_in_tvalid),
          .m_axis_tready(linear_1_in_tready)
      );

      activation_table #(
          .LANES(LANES),
          .CHANNELS(HIDDEN),
          .POINTS(POINTS),
          .TABLE_RULE(TABLE_RULE),
          .T_FILE({PREFIX, "_mlp_psa_2_t.hex"})
      ) psa_2 (
          .clk(clk),
          .rst(rst),
          .s_axis_tdata(linear_1_tdata),
          .s_axis_tvalid(linear_1_tvalid),
          .s_axis_tready(linear_1_tready),
          .m_axis_tdata(activation_tdata),
          .m_axis_tvalid(activation_tvalid),
          .m_axis_tready(activation_tready)
      );

      assign mon_valid = {
        add_tvalid, linear_2_tvalid, activation_tvalid, linear_1_tvalid, linear_1_in_tvalid, res_affine_tvalid
      };
      assign mon_ready = {
        add_tready, linear_2_tready, activation_tready, linear_1_tready, linear_1_in_tready, res_affine_tready
      };
      assign mon_data = {
        add_tdata, linear_2_tdata, activation_tdata, linear_1_tdata, linear_1_in_tdata, res_affine_tdata
      };
    end else begin : rectified
      assign linear_1_in_tdata = main_in_tdata;
      assign linear_1_in_tvalid = main_in_tvalid;
      assign main_in_tready = linear_1_in_tready;

      relu #(
          .LANES(LANES)
      ) relu_hidden (
          .clk(clk),
          .rst(rst),
          .s_axis_tdata(linear_1_tdata),
          .s_axis_tvalid(linear_1_tvalid),
          .s_axis_tready(linear_1_tready),
          .m_axis_tdata(activation_tdata),
          .m_axis_tvalid(activation_tvalid),
          .m_axis_tready(activation_tready)
      );

      assign mon_valid = {add_tvalid, linear_2_tvalid, activation_tvalid, linear_1_tvalid, res_affine_tvalid};
      assign mon_ready = {add_tready, linear_2_tready, activation_tready, linear_1_tready, res_affine_tready};
      assign mon_data = {add_tdata, linear_2_tdata, activation_tdata, linear_1_tdata, res_affine_tdata};
    end
  endgenerate

  linear #(
      .OUTPUTS(LANES),
      .PACKED(PACKED),
      .IN(CHANNELS),
      .OUT(HIDDEN),
      .ACC_W(LINEAR_1_ACC_W),
      .BLOCK_ROM(BLOCK_ROM),
      .W_FILE({PREFIX, "_mlp_linear_1_w.hex"}),
      .B_FILE({PREFIX, "_mlp_linear_1_b.hex"}),
      .S_FILE({PREFIX, "_mlp_linear_1_s.hex"})
  ) linear_1 (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(linear_1_in_tdata),
      .s_axis_tvalid(linear_1_in_tvalid),
      .s_axis_tready(linear_1_in_tready),
      .m_axis_tdata(linear_1_tdata),
      .m_axis_tvalid(linear_1_tvalid),
      .m_axis_tready(linear_1_tready)
  );

  linear #(
      .OUTPUTS(LANES),
      .PACKED(PACKED),
      .IN(HIDDEN),
      .OUT(CHANNELS),
      .ACC_W(LINEAR_2_ACC_W),
      .BLOCK_ROM(BLOCK_ROM),
      .W_FILE({PREFIX, "_mlp_linear_2_w.hex"}),
      .B_FILE({PREFIX, "_mlp_linear_2_b.hex"}),
      .S_FILE({PREFIX, "_mlp_linear_2_s.hex"})
  ) linear_2 (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(activation_tdata),
      .s_axis_tvalid(activation_tvalid),
      .s_axis_tready(activation_tready),
      .m_axis_tdata(linear_2_tdata),
      .m_axis_tvalid(linear_2_tvalid),
      .m_axis_tready(linear_2_tready)
  );

  add #(
      .LANES(LANES)
  ) add_residual (
      .clk(clk),
      .rst(rst),
      .s0_axis_tdata(linear_2_tdata),
      .s0_axis_tvalid(linear_2_tvalid),
      .s0_axis_tready(linear_2_tready),
      .s1_axis_tdata(residual_tdata),
      .s1_axis_tvalid(residual_tvalid),
      .s1_axis_tready(residual_tready),
      .m_axis_tdata(add_tdata),
      .m_axis_tvalid(add_tvalid),
      .m_axis_tready(add_tready)
  );

  axis_register #(
      .DATA_W(8 * LANES)
  ) register_slice (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(add_tdata),
      .s_axis_tvalid(add_tvalid),
      .s_axis_tready(add_tready),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready)
  );

endmodule

`default_nettype wire
