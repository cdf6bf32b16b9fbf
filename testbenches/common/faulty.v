`default_nettype none

// A register stage that passes a stream on and breaks one rule, to show that the testbenches' checks see it.
//
// Parameters
//   FAULT  0: none; otherwise the rule that is broken, see below
module faulty #(
    parameter FAULT = 0
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

  localparam WRONG_VALUE = 1;
  localparam LOST_VALUE = 2;
  localparam SURPLUS_VALUE = 3;
  localparam VALID_WITHDRAWN = 4;
  localparam DATA_CHANGED = 5;
  localparam DATA_UNKNOWN = 6;
  localparam VALID_UNKNOWN = 7;
  localparam VALID_WAITS_FOR_READY = 8;
  localparam NO_RESET = 9;
  localparam HALF_RATE = 10;
  localparam STANDS_STILL = 11;

  localparam [7:0] MARKED = 8'd100;  // the value at which a fault shows

  reg [7:0] y_reg;
  reg y_valid_reg;
  reg [1:0] phase_reg;

  initial {y_valid_reg, y_reg} = 9'd0;

  wire free = !y_valid_reg || (m_axis_tready && m_axis_tvalid);
  wire marked = y_reg == MARKED;
  wire lost = FAULT == LOST_VALUE && s_axis_tdata == MARKED;
  wire again = FAULT == SURPLUS_VALUE && marked && phase_reg == 2'd0;

  assign s_axis_tready = free && !again && !(FAULT == HALF_RATE && phase_reg[0])
                              && !(FAULT == STANDS_STILL && s_axis_tvalid && s_axis_tdata == MARKED);
  assign m_axis_tvalid = (FAULT == VALID_WITHDRAWN) ? y_valid_reg && !phase_reg[1]
                       : (FAULT == VALID_UNKNOWN && marked) ? 1'bx
                       : (FAULT == VALID_WAITS_FOR_READY) ? y_valid_reg && m_axis_tready
                       : y_valid_reg;
  assign m_axis_tdata = (FAULT == WRONG_VALUE && marked) ? y_reg ^ 8'd1
                      : (FAULT == DATA_CHANGED) ? y_reg ^ {7'd0, phase_reg[1]}
                      : (FAULT == DATA_UNKNOWN && marked) ? 8'bx
                      : y_reg;

  always @(posedge clk) begin
    if (s_axis_tready) y_reg <= s_axis_tdata;
    if (rst) phase_reg <= 2'd0;
    else phase_reg <= phase_reg + 2'd1;
    if (rst && FAULT != NO_RESET) y_valid_reg <= 1'b0;
    else if (s_axis_tready) y_valid_reg <= s_axis_tvalid && !lost;
    else if (free && !again) y_valid_reg <= 1'b0;
  end

endmodule

`default_nettype wire
