`default_nettype none

// Token mixer of one block:
//   r = res_affine(x);  y = affine_1(x);  y = linear(y^T)^T over the tokens;  y = affine_2(y);  m_axis = add(y, r)
// The linear sits between two transposing buffers, so its stream is channel-major; all others are token-major. Streams
// have LANES values a beat.
//
//           +-> affine_1 -> transpose -> linear -> transpose -> affine_2 --+
//   fork ---|                                                              |--> add --> register slice
//           +-> res_affine -> FIFO ----------------------------------------+
//
// Depth of the FIFO. At full rate every path moves one beat a cycle. Count cycles from the one in which the fork gives
// beat i to both affines. The add takes beat i from the main path in cycle i + MAIN_DELAY, where a transpose of
// rows x cols shifts a gapless stream by (rows * cols - rows - cols) / LANES + 1 and its own latency, and the linear by
// TOKENS / LANES - 1 (its row must be complete) and its own latency. On the residual path beat i enters the FIFO in
// cycle i + AFFINE_LATENCY. In that cycle the FIFO still holds all earlier beats that leave it in this cycle or later,
// those from i + AFFINE_LATENCY - MAIN_DELAY on: MAIN_DELAY - AFFINE_LATENCY beats. It must have room for one more. With
// less the fork has to wait and the main path runs dry, once for every pass of a beat through the module.
//
// Parameters
//   TOKENS          tokens of an image, 1 or more, a multiple of LANES
//   CHANNELS        channels of a token, 1 or more, a multiple of LANES
//   LANES           values of a beat: 1, 2 or 4
//   PACKED          1: the linear makes two products in a multiplier; see linear.v
//   ACC_W           accumulator width of the linear, bits, 16 or more
//   BLOCK_ROM       1: the linear's weights in memory blocks; see linear.v
//   BLOCK           number of the block in the names of its ROM files, 0 to 99
//   RESIDUAL_DEPTH  beats the residual FIFO holds; 0: as derived here, anything else only to test the derivation
module token_mixer #(
    parameter TOKENS = 64,
    parameter CHANNELS = 96,
    parameter LANES = 1,
    parameter PACKED = 0,
    parameter ACC_W = 22,
    parameter BLOCK_ROM = 0,
    parameter BLOCK = 0,
    parameter RESIDUAL_DEPTH = 0
) (
    input  wire                clk,
    input  wire                rst,
    input  wire [ 8*LANES-1:0] s_axis_tdata,
    input  wire                s_axis_tvalid,
    output wire                s_axis_tready,
    output wire [ 8*LANES-1:0] m_axis_tdata,
    output wire                m_axis_tvalid,
    input  wire                m_axis_tready,
    // res_affine, affine_1, linear, affine_2, add
    output wire [         4:0] mon_valid,
    output wire [         4:0] mon_ready,
    output wire [40*LANES-1:0] mon_data
);

  // Latencies of the modules, cycles; see their headers.
  localparam AFFINE_LATENCY = 2;
  localparam TRANSPOSE_LATENCY = (TOKENS == 1 || CHANNELS == 1) ? 1 : 2;
  localparam LINEAR_LATENCY = 4 + ($clog2(TOKENS) + 1) / 2;

  localparam TRANSPOSE_DELAY = (TOKENS * CHANNELS - TOKENS - CHANNELS) / LANES + 1 + TRANSPOSE_LATENCY;
  localparam LINEAR_DELAY = TOKENS / LANES - 1 + LINEAR_LATENCY;
  localparam MAIN_DELAY = 2 * AFFINE_LATENCY + 2 * TRANSPOSE_DELAY + LINEAR_DELAY;
  localparam DERIVED_DEPTH = MAIN_DELAY - AFFINE_LATENCY + 1;
  localparam DEPTH = (RESIDUAL_DEPTH == 0) ? DERIVED_DEPTH : RESIDUAL_DEPTH;

  generate
    if (BLOCK < 0 || BLOCK > 99) begin : illegal_block
      illegal_parameter_BLOCK_is_not_0_to_99 stop ();
    end
  endgenerate

  // Names of the ROM files
  localparam [31:0] TENS = BLOCK / 10;
  localparam [31:0] UNITS = BLOCK % 10;
  localparam [7:0] TENS_DIGIT = 8'd48 + TENS[7:0];
  localparam [7:0] UNITS_DIGIT = 8'd48 + UNITS[7:0];
  localparam [7*8-1:0] PREFIX = {"block", TENS_DIGIT, UNITS_DIGIT};

  wire [8*LANES-1:0] affine_1_in_tdata, res_affine_in_tdata;
  wire affine_1_in_tvalid, res_affine_in_tvalid;
  wire affine_1_in_tready, res_affine_in_tready;
  wire [8*LANES-1:0] res_affine_tdata, residual_tdata;
  wire res_affine_tvalid, residual_tvalid;
  wire res_affine_tready, residual_tready;
  wire [8*LANES-1:0] affine_1_tdata, by_channel_tdata, linear_tdata, by_token_tdata, affine_2_tdata, add_tdata;
  wire affine_1_tvalid, by_channel_tvalid, linear_tvalid, by_token_tvalid, affine_2_tvalid, add_tvalid;
  wire affine_1_tready, by_channel_tready, linear_tready, by_token_tready, affine_2_tready, add_tready;

  assign mon_valid = {add_tvalid, affine_2_tvalid, linear_tvalid, affine_1_tvalid, res_affine_tvalid};
  assign mon_ready = {add_tready, affine_2_tready, linear_tready, affine_1_tready, res_affine_tready};
  assign mon_data  = {add_tdata, affine_2_tdata, linear_tdata, affine_1_tdata, res_affine_tdata};

  axis_fork #(
      .DATA_W(8 * LANES)
  ) fork_input (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .m0_axis_tdata(affine_1_in_tdata),
      .m0_axis_tvalid(affine_1_in_tvalid),
      .m0_axis_tready(affine_1_in_tready),
      .m1_axis_tdata(res_affine_in_tdata),
      .m1_axis_tvalid(res_affine_in_tvalid),
      .m1_axis_tready(res_affine_in_tready)
  );

  // Residual path
  affine #(
      .LANES(LANES),
      .CHANNELS(CHANNELS),
      .W_FILE({PREFIX, "_token_mixer_res_affine_w.hex"}),
      .B_FILE({PREFIX, "_token_mixer_res_affine_b.hex"}),
      .S_FILE({PREFIX, "_token_mixer_res_affine_s.hex"})
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
  affine #(
      .LANES(LANES),
      .CHANNELS(CHANNELS),
      .W_FILE({PREFIX, "_token_mixer_affine_1_w.hex"}),
      .B_FILE({PREFIX, "_token_mixer_affine_1_b.hex"}),
      .S_FILE({PREFIX, "_token_mixer_affine_1_s.hex"})
  ) affine_1 (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(affine_1_in_tdata),
      .s_axis_tvalid(affine_1_in_tvalid),
      .s_axis_tready(affine_1_in_tready),
      .m_axis_tdata(affine_1_tdata),
      .m_axis_tvalid(affine_1_tvalid),
      .m_axis_tready(affine_1_tready)
  );

  transpose #(
      .LANES(LANES),
      .ROWS(TOKENS),
      .COLS(CHANNELS)
  ) to_channel_major (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(affine_1_tdata),
      .s_axis_tvalid(affine_1_tvalid),
      .s_axis_tready(affine_1_tready),
      .m_axis_tdata(by_channel_tdata),
      .m_axis_tvalid(by_channel_tvalid),
      .m_axis_tready(by_channel_tready)
  );

  linear #(
      .OUTPUTS(LANES),
      .PACKED(PACKED),
      .IN(TOKENS),
      .OUT(TOKENS),
      .ACC_W(ACC_W),
      .BLOCK_ROM(BLOCK_ROM),
      .W_FILE({PREFIX, "_token_mixer_linear_w.hex"}),
      .B_FILE({PREFIX, "_token_mixer_linear_b.hex"}),
      .S_FILE({PREFIX, "_token_mixer_linear_s.hex"})
  ) linear_tokens (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(by_channel_tdata),
      .s_axis_tvalid(by_channel_tvalid),
      .s_axis_tready(by_channel_tready),
      .m_axis_tdata(linear_tdata),
      .m_axis_tvalid(linear_tvalid),
      .m_axis_tready(linear_tready)
  );

  transpose #(
      .LANES(LANES),
      .ROWS(CHANNELS),
      .COLS(TOKENS)
  ) to_token_major (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(linear_tdata),
      .s_axis_tvalid(linear_tvalid),
      .s_axis_tready(linear_tready),
      .m_axis_tdata(by_token_tdata),
      .m_axis_tvalid(by_token_tvalid),
      .m_axis_tready(by_token_tready)
  );

  affine #(
      .LANES(LANES),
      .CHANNELS(CHANNELS),
      .W_FILE({PREFIX, "_token_mixer_affine_2_w.hex"}),
      .B_FILE({PREFIX, "_token_mixer_affine_2_b.hex"}),
      .S_FILE({PREFIX, "_token_mixer_affine_2_s.hex"})
  ) affine_2 (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(by_token_tdata),
      .s_axis_tvalid(by_token_tvalid),
      .s_axis_tready(by_token_tready),
      .m_axis_tdata(affine_2_tdata),
      .m_axis_tvalid(affine_2_tvalid),
      .m_axis_tready(affine_2_tready)
  );

  add #(
      .LANES(LANES)
  ) add_residual (
      .clk(clk),
      .rst(rst),
      .s0_axis_tdata(affine_2_tdata),
      .s0_axis_tvalid(affine_2_tvalid),
      .s0_axis_tready(affine_2_tready),
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
