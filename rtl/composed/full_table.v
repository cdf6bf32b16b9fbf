`default_nettype none

// A table of every input of each channel: y[c] = table[c][x[c] - least value]. LANES channels a beat, which count with the
// beats, so that the first beat after reset is of channels 0 to LANES - 1.
//
// Latency 1 cycle, a read of memory, full rate; s_axis_tready depends combinationally on m_axis_tready. Capacity 1 beat.
// Each lane reads a memory of its own.
//
// Parameters
//   CHANNELS  channels, 1 or more
//   LANES     channels of a beat, a divisor of CHANNELS
//   X_W       width of a value, bits, 1 to 16
//   X_SIGNED  1: values are signed (two's complement), 0: unsigned
//   Y_W       width of an entry, bits, 1 or more
//   T_FILE    $readmemh file of 2^X_W * CHANNELS / LANES words; of channel c the entry of value x in word
//             2^X_W * (c / LANES) + x - least value at [Y_W * (c % LANES) +: Y_W]
module full_table #(
    parameter CHANNELS = 3,
    parameter LANES = 1,
    parameter X_W = 8,
    parameter X_SIGNED = 0,
    parameter Y_W = 8,
    parameter T_FILE = "full_table_t.hex"
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] s_axis_tdata,
    input  wire                 s_axis_tvalid,
    output wire                 s_axis_tready,
    output wire [LANES*Y_W-1:0] m_axis_tdata,
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready
);

  generate
    if (LANES < 1 || CHANNELS < LANES || CHANNELS % LANES != 0) begin : illegal_channels
      illegal_parameter_CHANNELS_is_no_multiple_of_LANES stop ();
    end
    if (X_W < 1 || X_W > 16) begin : illegal_x_w
      illegal_parameter_X_W_is_not_1_to_16 stop ();
    end
    if (X_SIGNED != 0 && X_SIGNED != 1) begin : illegal_x_signed
      illegal_parameter_X_SIGNED_is_not_0_or_1 stop ();
    end
    if (Y_W < 1) begin : illegal_y_w
      illegal_parameter_Y_W_is_below_1 stop ();
    end
  endgenerate

  localparam GROUPS = CHANNELS / LANES;
  localparam GROUP_W = (GROUPS > 1) ? $clog2(GROUPS) : 1;
  localparam [31:0] LAST_32 = GROUPS - 1;
  localparam [GROUP_W-1:0] LAST = LAST_32[GROUP_W-1:0];
  localparam ENTRIES = GROUPS << X_W;
  localparam ADDRESS_W = $clog2(ENTRIES);

  reg [GROUP_W-1:0] group_reg;
  reg y_valid_reg;

  assign s_axis_tready = !y_valid_reg || m_axis_tready;
  assign m_axis_tvalid = y_valid_reg;
  wire accepted = s_axis_tvalid && s_axis_tready;

  always @(posedge clk) begin
    if (rst) begin
      group_reg   <= {GROUP_W{1'b0}};
      y_valid_reg <= 1'b0;
    end else begin
      if (accepted) group_reg <= (group_reg == LAST) ? {GROUP_W{1'b0}} : group_reg + 1'b1;
      if (s_axis_tready) y_valid_reg <= accepted;
    end
  end

  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      reg [LANES*Y_W-1:0] entries[0:ENTRIES-1];
      initial $readmemh(T_FILE, entries);

      // The least value has code 0: of a signed number, the sign's bit is inverted.
      localparam [31:0] SIGNED_32 = X_SIGNED;
      wire [X_W-1:0] code = s_axis_tdata[X_W*n+:X_W] ^ {SIGNED_32[0], {(X_W - 1) {1'b0}}};
      wire [GROUP_W+X_W-1:0] place = {group_reg, code};
      reg [LANES*Y_W-1:0] entry_reg;
      always @(posedge clk) if (accepted) entry_reg <= entries[place[ADDRESS_W-1:0]];
      assign m_axis_tdata[Y_W*n+:Y_W] = entry_reg[Y_W*n+:Y_W];
      // The other lanes' parts of the words, and with one group its number.
      wire unused = &{1'b0, entry_reg, place};
    end
  endgenerate

endmodule

`default_nettype wire
