`default_nettype none

// What came in DEPTH cycles ago: q(n) = d(n - DEPTH), 0 for cycles before the reset ended.
//
// Parameters
//   DEPTH  cycles, 1 or more
//   WIDTH  width of a value, bits, 1 or more
module delay_line #(
    parameter DEPTH = 16,
    parameter WIDTH = 1
) (
    input  wire             clk,
    input  wire             rst,
    input  wire [WIDTH-1:0] d,
    output wire [WIDTH-1:0] q
);

  generate
    if (DEPTH < 1) begin : illegal_depth
      illegal_parameter_DEPTH_is_below_1 stop ();
    end
    if (WIDTH < 1) begin : illegal_width
      illegal_parameter_WIDTH_is_below_1 stop ();
    end
  endgenerate

  reg [DEPTH*WIDTH-1:0] line_reg;  // the newest value lowest

  generate
    if (DEPTH == 1) begin : single
      always @(posedge clk) begin
        if (rst) line_reg <= {WIDTH{1'b0}};
        else line_reg <= d;
      end
    end else begin : several
      always @(posedge clk) begin
        if (rst) line_reg <= {DEPTH * WIDTH{1'b0}};
        else line_reg <= {line_reg[(DEPTH-1)*WIDTH-1:0], d};
      end
    end
  endgenerate

  assign q = line_reg[DEPTH*WIDTH-1:(DEPTH-1)*WIDTH];

endmodule

`default_nettype wire
