`default_nettype none

// Streaming ResMLP accelerator: LANES int8 a beat in, LANES class scores a beat out, free running.
//
//   s_axis -> frame_guard -> embed -> BLOCKS x (token_mixer -> mlp) -> pool -> classifier -> slice -> frame_tag -> out
//                  |                                                                                      ^
//                  +---------------------------- flag of a bad image (FIFO) ------------------------------+
//
// An image is TOKENS x VALUES bytes, token-major; its scores are CLASSES bytes. In steady state an image takes
// TOKENS * max(VALUES, CHANNELS, HIDDEN) / LANES cycles, or max(CHANNELS, CLASSES) / LANES if that is more. No
// combinational path leads from m_axis to s_axis; a register slice keeps m_axis_tready from the classifier. Framing of
// the input: see frame_guard.v. In a cycle in which rst is high nothing is passed on.
//
// mon_*: the stream of each tap; tap i is at mon_valid[i], mon_ready[i], mon_data[8*LANES*i +: 8*LANES]. Order: embed;
// for each block the token mixer's five taps, then the mlp's six (ReLU: five); pool; classifier.
//
// Parameters
//   LANES                         values of a beat of every stream, the first lowest: 1, 2 or 4; all of TOKENS,
//                                 VALUES, CHANNELS, HIDDEN and CLASSES are multiples
//   PACKED                        1: linears make two products in a multiplier; see linear.v
//   TOKENS                        tokens of an image, a power of two, 1 or more
//   VALUES                        values of an input token, 1 or more
//   CHANNELS                      channels of a token inside, 1 or more
//   HIDDEN                        hidden channels of the mlp, 1 or more
//   BLOCKS                        blocks, 1 to 100
//   CLASSES                       scores of an image, 1 or more
//   PSA, POINTS, TABLE_RULE       activations; see mlp.v
//   EMBED_ACC_W, MIX_ACC_W, LINEAR_1_ACC_W, LINEAR_2_ACC_W, CLASSIFIER_ACC_W
//                                 accumulator widths, bits, 16 or more
//   BLOCK_ROM                     1: weights of all linears in memory blocks; see linear.v
// ROM files are read from the simulator's working folder: embed_{w,b,s}.hex, classifier_{w,b,s}.hex and, for block i
// with two digits, block{i}_token_mixer_{res_affine,affine_1,linear,affine_2}_{w,b,s}.hex,
// block{i}_mlp_{res_affine,linear_1,linear_2}_{w,b,s}.hex, block{i}_mlp_psa_{1,2}_t.hex.
module stream_resmlp #(
    parameter TOKENS = 64,
    parameter VALUES = 48,
    parameter CHANNELS = 96,
    parameter HIDDEN = 96,
    parameter BLOCKS = 4,
    parameter CLASSES = 10,
    parameter PSA = 1,
    parameter POINTS = 64,
    parameter TABLE_RULE = 0,
    parameter EMBED_ACC_W = 16 + $clog2(VALUES),
    parameter MIX_ACC_W = 16 + $clog2(TOKENS),
    parameter LINEAR_1_ACC_W = 16 + $clog2(CHANNELS),
    parameter LINEAR_2_ACC_W = 16 + $clog2(HIDDEN),
    parameter CLASSIFIER_ACC_W = 16 + $clog2(CHANNELS),
    parameter BLOCK_ROM = 0,
    parameter LANES = 1,
    parameter PACKED = 0
) (
    input  wire                                                    clk,
    input  wire                                                    rst,
    input  wire [                                     8*LANES-1:0] s_axis_tdata,
    input  wire                                                    s_axis_tvalid,
    output wire                                                    s_axis_tready,
    input  wire                                                    s_axis_tlast,
    output wire [                                     8*LANES-1:0] m_axis_tdata,
    output wire                                                    m_axis_tvalid,
    input  wire                                                    m_axis_tready,
    output wire                                                    m_axis_tlast,
    output wire                                                    m_axis_tuser,
    output wire                                                    frame_error_early,
    output wire                                                    frame_error_late,
    output wire [              3 + BLOCKS * (PSA ? 11 : 10) - 1:0] mon_valid,
    output wire [              3 + BLOCKS * (PSA ? 11 : 10) - 1:0] mon_ready,
    output wire [8 * LANES * (3 + BLOCKS * (PSA ? 11 : 10)) - 1:0] mon_data
);

  localparam MIXER_TAPS = 5;
  localparam MLP_TAPS = PSA ? 6 : 5;
  localparam BLOCK_TAPS = MIXER_TAPS + MLP_TAPS;
  localparam POOL_TAP = 1 + BLOCKS * BLOCK_TAPS;
  localparam CLASSIFIER_TAP = POOL_TAP + 1;

  // Flags wait for their images. Whatever a block holds also stands, or has stood, in its residual FIFOs: less than
  // three images in the token mixer and less than SPARE tokens in the mlp or in registers. Embedding, pool and
  // classifier hold less than SPARE tokens and one image each, the register slice two scores, which may be of two
  // images. A full FIFO would only hold back the input.
  localparam SPARE = 32;
  localparam SPARE_IMAGES = (TOKENS > 0) ? (SPARE + TOKENS - 1) / TOKENS : 0;
  localparam FLAG_DEPTH = 5 + SPARE_IMAGES + BLOCKS * (3 + SPARE_IMAGES);

  generate
    if (TOKENS < 1) begin : illegal_tokens
      illegal_parameter_TOKENS_is_below_1 stop ();
    end
    if (VALUES < 1) begin : illegal_values
      illegal_parameter_VALUES_is_below_1 stop ();
    end
    if (CHANNELS < 1) begin : illegal_channels
      illegal_parameter_CHANNELS_is_below_1 stop ();
    end
    if (HIDDEN < 1) begin : illegal_hidden
      illegal_parameter_HIDDEN_is_below_1 stop ();
    end
    if (CLASSES < 1) begin : illegal_classes
      illegal_parameter_CLASSES_is_below_1 stop ();
    end
    if (LANES != 1 && LANES != 2 && LANES != 4) begin : illegal_lanes
      illegal_parameter_LANES_is_not_1_2_or_4 stop ();
    end
    if (BLOCKS < 1 || BLOCKS > 100) begin : illegal_blocks
      illegal_parameter_BLOCKS_is_not_1_to_100 stop ();
    end
  endgenerate

  wire [8*LANES-1:0] guard_tdata;
  wire guard_tvalid;
  wire guard_tready;
  wire guard_flag_tdata, tag_flag_tdata;
  wire guard_flag_tvalid, tag_flag_tvalid;
  wire guard_flag_tready, tag_flag_tready;

  frame_guard #(
      .DATA_W(8 * LANES),
      .BEATS(TOKENS * VALUES / LANES)
  ) frame_guard_input (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .s_axis_tlast(s_axis_tlast),
      .m_axis_tdata(guard_tdata),
      .m_axis_tvalid(guard_tvalid),
      .m_axis_tready(guard_tready),
      .m_flag_axis_tdata(guard_flag_tdata),
      .m_flag_axis_tvalid(guard_flag_tvalid),
      .m_flag_axis_tready(guard_flag_tready),
      .frame_error_early(frame_error_early),
      .frame_error_late(frame_error_late)
  );

  axis_fifo #(
      .DEPTH (FLAG_DEPTH),
      .DATA_W(1)
  ) flag_fifo (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(guard_flag_tdata),
      .s_axis_tvalid(guard_flag_tvalid),
      .s_axis_tready(guard_flag_tready),
      .m_axis_tdata(tag_flag_tdata),
      .m_axis_tvalid(tag_flag_tvalid),
      .m_axis_tready(tag_flag_tready)
  );

  // Stream i goes into block i, stream BLOCKS into the pool.
  wire [8*LANES*(BLOCKS+1)-1:0] chain_tdata;
  wire [BLOCKS:0] chain_tvalid;
  wire [BLOCKS:0] chain_tready;

  linear #(
      .OUTPUTS(LANES),
      .PACKED(PACKED),
      .IN(VALUES),
      .OUT(CHANNELS),
      .ACC_W(EMBED_ACC_W),
      .BLOCK_ROM(BLOCK_ROM),
      .W_FILE("embed_w.hex"),
      .B_FILE("embed_b.hex"),
      .S_FILE("embed_s.hex")
  ) embed (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(guard_tdata),
      .s_axis_tvalid(guard_tvalid),
      .s_axis_tready(guard_tready),
      .m_axis_tdata(chain_tdata[8*LANES-1:0]),
      .m_axis_tvalid(chain_tvalid[0]),
      .m_axis_tready(chain_tready[0])
  );

  assign mon_valid[0]  = chain_tvalid[0];
  assign mon_ready[0]  = chain_tready[0];
  assign mon_data[8*LANES-1:0] = chain_tdata[8*LANES-1:0];

  genvar i;
  generate
    for (i = 0; i < BLOCKS; i = i + 1) begin : block
      localparam MIXER_TAP = 1 + i * BLOCK_TAPS;
      localparam MLP_TAP = MIXER_TAP + MIXER_TAPS;

      wire [8*LANES-1:0] mixed_tdata;
      wire mixed_tvalid;
      wire mixed_tready;

      token_mixer #(
          .LANES(LANES),
          .PACKED(PACKED),
          .TOKENS(TOKENS),
          .CHANNELS(CHANNELS),
          .ACC_W(MIX_ACC_W),
          .BLOCK_ROM(BLOCK_ROM),
          .BLOCK(i)
      ) token_mixer_block (
          .clk(clk),
          .rst(rst),
          .s_axis_tdata(chain_tdata[8*LANES*i+:8*LANES]),
          .s_axis_tvalid(chain_tvalid[i]),
          .s_axis_tready(chain_tready[i]),
          .m_axis_tdata(mixed_tdata),
          .m_axis_tvalid(mixed_tvalid),
          .m_axis_tready(mixed_tready),
          .mon_valid(mon_valid[MIXER_TAP+:MIXER_TAPS]),
          .mon_ready(mon_ready[MIXER_TAP+:MIXER_TAPS]),
          .mon_data(mon_data[8*LANES*MIXER_TAP+:8*LANES*MIXER_TAPS])
      );

      mlp #(
          .LANES(LANES),
          .PACKED(PACKED),
          .CHANNELS(CHANNELS),
          .HIDDEN(HIDDEN),
          .PSA(PSA),
          .POINTS(POINTS),
          .TABLE_RULE(TABLE_RULE),
          .LINEAR_1_ACC_W(LINEAR_1_ACC_W),
          .LINEAR_2_ACC_W(LINEAR_2_ACC_W),
          .BLOCK_ROM(BLOCK_ROM),
          .BLOCK(i)
      ) mlp_block (
          .clk(clk),
          .rst(rst),
          .s_axis_tdata(mixed_tdata),
          .s_axis_tvalid(mixed_tvalid),
          .s_axis_tready(mixed_tready),
          .m_axis_tdata(chain_tdata[8*LANES*(i+1)+:8*LANES]),
          .m_axis_tvalid(chain_tvalid[i+1]),
          .m_axis_tready(chain_tready[i+1]),
          .mon_valid(mon_valid[MLP_TAP+:MLP_TAPS]),
          .mon_ready(mon_ready[MLP_TAP+:MLP_TAPS]),
          .mon_data(mon_data[8*LANES*MLP_TAP+:8*LANES*MLP_TAPS])
      );
    end
  endgenerate

  wire [8*LANES-1:0] pool_tdata, classifier_tdata, score_tdata;
  wire pool_tvalid, classifier_tvalid, score_tvalid;
  wire pool_tready, classifier_tready, score_tready;

  pool #(
      .LANES(LANES),
      .TOKENS  (TOKENS),
      .CHANNELS(CHANNELS)
  ) pool_tokens (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(chain_tdata[8*LANES*BLOCKS+:8*LANES]),
      .s_axis_tvalid(chain_tvalid[BLOCKS]),
      .s_axis_tready(chain_tready[BLOCKS]),
      .m_axis_tdata(pool_tdata),
      .m_axis_tvalid(pool_tvalid),
      .m_axis_tready(pool_tready)
  );

  linear #(
      .OUTPUTS(LANES),
      .PACKED(PACKED),
      .IN(CHANNELS),
      .OUT(CLASSES),
      .ACC_W(CLASSIFIER_ACC_W),
      .BLOCK_ROM(BLOCK_ROM),
      .W_FILE("classifier_w.hex"),
      .B_FILE("classifier_b.hex"),
      .S_FILE("classifier_s.hex")
  ) classifier (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(pool_tdata),
      .s_axis_tvalid(pool_tvalid),
      .s_axis_tready(pool_tready),
      .m_axis_tdata(classifier_tdata),
      .m_axis_tvalid(classifier_tvalid),
      .m_axis_tready(classifier_tready)
  );

  assign mon_valid[POOL_TAP] = pool_tvalid;
  assign mon_ready[POOL_TAP] = pool_tready;
  assign mon_data[8*LANES*POOL_TAP+:8*LANES] = pool_tdata;
  assign mon_valid[CLASSIFIER_TAP] = classifier_tvalid;
  assign mon_ready[CLASSIFIER_TAP] = classifier_tready;
  assign mon_data[8*LANES*CLASSIFIER_TAP+:8*LANES] = classifier_tdata;

  axis_register #(
      .DATA_W(8 * LANES)
  ) register_slice (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(classifier_tdata),
      .s_axis_tvalid(classifier_tvalid),
      .s_axis_tready(classifier_tready),
      .m_axis_tdata(score_tdata),
      .m_axis_tvalid(score_tvalid),
      .m_axis_tready(score_tready)
  );

  frame_tag #(
      .DATA_W(8 * LANES),
      .BEATS(CLASSES / LANES)
  ) frame_tag_output (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(score_tdata),
      .s_axis_tvalid(score_tvalid),
      .s_axis_tready(score_tready),
      .s_flag_axis_tdata(tag_flag_tdata),
      .s_flag_axis_tvalid(tag_flag_tvalid),
      .s_flag_axis_tready(tag_flag_tready),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready),
      .m_axis_tlast(m_axis_tlast),
      .m_axis_tuser(m_axis_tuser)
  );

endmodule

`default_nettype wire
