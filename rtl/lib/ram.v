`default_nettype none

// Memory with one write and one read port. A read takes one cycle: read_data is the word that read_address named in the
// last cycle in which read_enable was high, and stays until the next one. Reading a word in the cycle in which it is
// written gives what it held before.
//
// Parameters
//   WORDS  words, 1 or more
//   WIDTH  width of a word, bits, 1 or more
module ram #(
    parameter WORDS = 16,
    parameter WIDTH = 128
) (
    input  wire                                          clk,
    input  wire                                          write_enable,
    input  wire [(WORDS > 1 ? $clog2(WORDS) : 1) - 1:0] write_address,
    input  wire [WIDTH-1:0]                              write_data,
    input  wire                                          read_enable,
    input  wire [(WORDS > 1 ? $clog2(WORDS) : 1) - 1:0] read_address,
    output wire [WIDTH-1:0]                              read_data
);

  generate
    if (WORDS < 1) begin : illegal_words
      illegal_parameter_WORDS_is_below_1 stop ();
    end
    if (WIDTH < 1) begin : illegal_width
      illegal_parameter_WIDTH_is_below_1 stop ();
    end
  endgenerate

  reg [WIDTH-1:0] memory[0:WORDS-1];
  reg [WIDTH-1:0] read_data_reg;

  always @(posedge clk) begin
    if (write_enable) memory[write_address] <= write_data;
    if (read_enable) read_data_reg <= memory[read_address];
  end

  assign read_data = read_data_reg;

endmodule

`default_nettype wire
