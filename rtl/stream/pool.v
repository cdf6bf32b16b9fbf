`default_nettype none

// Average over the tokens of an image: y[c] = round_shift(sum over t of x[t][c], log2(TOKENS)). The result cannot leave
// int8. Tokens and channels count with the beats, so the first value after reset is channel 0 of token 0.
//
// Takes TOKENS x CHANNELS values an image at full rate and gives CHANNELS, each 1 cycle after the last token's value.
// The running sums stand in a memory of CHANNELS words that is read asynchronously (small: look-up-table memory).
// s_axis_tready depends combinationally on m_axis_tready.
//
// Parameters
//   TOKENS    tokens of an image, a power of two, 1 or more
//   CHANNELS  channels of a token, 1 or more
module pool #(
    parameter TOKENS = 64,
    parameter CHANNELS = 96
) (
    input  wire       clk,
    input  wire       rst,
    input  wire [7:0] s_axis_tdata,
    input  wire       s_axis_tvalid,
    output wire       s_axis_tready,
    output wire [7:0] m_axis_tdata,
    output wire       m_axis_tvalid,
    input  wire       m_axis_tready
);

  localparam TOKEN_W = $clog2(TOKENS);

  reg y_valid_reg;
  reg [7:0] y_reg;

  assign s_axis_tready = !y_valid_reg || m_axis_tready;
  assign m_axis_tdata  = y_reg;
  assign m_axis_tvalid = y_valid_reg;
  wire accepted = s_axis_tvalid && s_axis_tready;

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
      localparam CHANNEL_W = (CHANNELS > 1) ? $clog2(CHANNELS) : 1;
      localparam [31:0] LAST_CHANNEL_32 = CHANNELS - 1;
      localparam [CHANNEL_W-1:0] LAST_CHANNEL = LAST_CHANNEL_32[CHANNEL_W-1:0];
      localparam [TOKEN_W-1:0] FIRST_TOKEN = {TOKEN_W{1'b0}};
      localparam [TOKEN_W-1:0] LAST_TOKEN = {TOKEN_W{1'b1}};

      reg [SUM_W-1:0] sums[0:CHANNELS-1];
      reg [CHANNEL_W-1:0] channel_reg;
      reg [TOKEN_W-1:0] token_reg;  // wraps by itself: TOKENS is a power of two

      wire [SUM_W-1:0] so_far = (token_reg == FIRST_TOKEN) ? {SUM_W{1'b0}} : sums[channel_reg];
      wire [SUM_W-1:0] sum = so_far + {{TOKEN_W{s_axis_tdata[7]}}, s_axis_tdata};
      wire last_token = token_reg == LAST_TOKEN;

      always @(posedge clk) begin
        if (accepted) sums[channel_reg] <= sum;
      end

      always @(posedge clk) begin
        if (accepted) y_reg <= sum[SUM_W-1:TOKEN_W] + {7'd0, sum[TOKEN_W-1]};
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

endmodule

`default_nettype wire
