`default_nettype none

// Average over the tokens of an image: y[c] = round_shift(sum over t of x[t][c], log2(TOKENS)). The result cannot leave
// int8. Tokens and channels count with the beats, so the first value after reset is channel 0 of token 0.
//
// Takes TOKENS x CHANNELS values an image at full rate, LANES a beat, and gives CHANNELS, each 1 cycle after the last
// token's value. The running sums stand in a memory that is read asynchronously (small: look-up-table memory), those of
// a beat in one word.
// s_axis_tready depends combinationally on m_axis_tready.
//
// Parameters
//   TOKENS    tokens of an image, a power of two, 1 or more
//   CHANNELS  channels of a token, 1 or more, a multiple of LANES
//   LANES     values of a beat: 1, 2 or 4
module pool #(
    parameter TOKENS = 64,
    parameter CHANNELS = 96,
    parameter LANES = 1
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [8*LANES-1:0] s_axis_tdata,   // the first value lowest
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    output wire [8*LANES-1:0] m_axis_tdata,   // likewise
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready
);

  localparam TOKEN_W = $clog2(TOKENS);

  reg y_valid_reg;
  reg [8*LANES-1:0] y_reg;

  assign s_axis_tready = !y_valid_reg || m_axis_tready;
  assign m_axis_tdata  = y_reg;
  assign m_axis_tvalid = y_valid_reg;
  wire accepted = s_axis_tvalid && s_axis_tready;

  genvar n;
  generate
    if (TOKENS < 1 || (1 << TOKEN_W) != TOKENS) begin : illegal_tokens
      illegal_parameter_TOKENS_is_not_a_power_of_two stop ();
    end else if (CHANNELS < 1) begin : illegal_channels
      illegal_parameter_CHANNELS_is_below_1 stop ();
    end else if (TOKENS == 1) begin : single
      always @(posedge clk) begin
        if (accepted) y_reg <= s_axis_tdata;
        if (rst) y_valid_reg <= 1'b0;
        else if (s_axis_tready) y_valid_reg <= accepted;
      end
    end else begin : several
      localparam SUM_W = 8 + TOKEN_W;
      localparam GROUPS = CHANNELS / LANES;
      localparam CHANNEL_W = (GROUPS > 1) ? $clog2(GROUPS) : 1;  // of the channels of a beat
      localparam [31:0] LAST_CHANNEL_32 = GROUPS - 1;
      localparam [CHANNEL_W-1:0] LAST_CHANNEL = LAST_CHANNEL_32[CHANNEL_W-1:0];
      localparam [TOKEN_W-1:0] FIRST_TOKEN = {TOKEN_W{1'b0}};
      localparam [TOKEN_W-1:0] LAST_TOKEN = {TOKEN_W{1'b1}};

      reg [LANES*SUM_W-1:0] sums[0:GROUPS-1];
      reg [CHANNEL_W-1:0] channel_reg;
      reg [TOKEN_W-1:0] token_reg;  // wraps by itself: TOKENS is a power of two

      wire [LANES*SUM_W-1:0] so_far = (token_reg == FIRST_TOKEN) ? {LANES * SUM_W{1'b0}} : sums[channel_reg];
      wire [LANES*SUM_W-1:0] sum;
      wire [8*LANES-1:0] y;
      wire last_token = token_reg == LAST_TOKEN;

      for (n = 0; n < LANES; n = n + 1) begin : lane
        wire [7:0] x = s_axis_tdata[8*n+:8];
        wire [SUM_W-1:0] total = so_far[SUM_W*n+:SUM_W] + {{TOKEN_W{x[7]}}, x};
        assign sum[SUM_W*n+:SUM_W] = total;
        assign y[8*n+:8] = total[SUM_W-1:TOKEN_W] + {7'd0, total[TOKEN_W-1]};
      end

      always @(posedge clk) begin
        if (accepted) sums[channel_reg] <= sum;
      end

      always @(posedge clk) begin
        if (accepted) y_reg <= y;
        if (rst) begin
          y_valid_reg <= 1'b0;
          channel_reg <= {CHANNEL_W{1'b0}};
          token_reg   <= FIRST_TOKEN;
        end else begin
          if (s_axis_tready) y_valid_reg <= accepted && last_token;
          if (accepted) begin
            if (channel_reg == LAST_CHANNEL) begin
              channel_reg <= {CHANNEL_W{1'b0}};
              token_reg   <= token_reg + 1'b1;
            end else begin
              channel_reg <= channel_reg + 1'b1;
            end
          end
        end
      end
    end
  endgenerate

  generate
    if (LANES != 1 && LANES != 2 && LANES != 4) begin : illegal_lanes
      illegal_parameter_LANES_is_not_1_2_or_4 stop ();
    end else if (CHANNELS % LANES != 0) begin : illegal_channels_of_lanes
      illegal_parameter_CHANNELS_is_no_multiple_of_LANES stop ();
    end
  endgenerate

endmodule

`default_nettype wire
