`default_nettype none

// Turns blocks of 16 words of 16 bytes: rows become columns, or stay as they are, with the same latency either way.
//
// The words of a block come in 16 successive cycles, n to n + 15, with in_transpose constant; output word k is on
// out_data in cycle n + 17 + k. Transposed: byte lane r of output k is byte lane k of word r. Not transposed: output
// k is word k. Blocks may follow each other without a gap or after any gap. Between blocks out_data keeps the last
// word, and before the first one it is undefined.
//
// The bytes lie in 16 memories of 32 bytes each, two blocks: byte lane l of word r in memory (l + r) mod 16 at r. So a
// word and a column both touch every memory once. Writing turns a word by its number; reading gives memory m the
// address (m - k) mod 16 for column k, or k for word k, and turns what comes out back by k in either case.
module block_transpose (
    input  wire         clk,
    input  wire         rst,
    input  wire         in_valid,
    input  wire         in_transpose,
    input  wire [127:0] in_data,       // byte lane l at bits [8l+:8]
    output wire [127:0] out_data
);

  localparam [3:0] LAST = 4'd15;

  // Writer: the half of the memories that it fills, the word that comes next.
  reg write_half_reg;
  reg [3:0] write_index_reg;
  // Reader: whether it has a block, that block's half, its kind, the output that is made next.
  reg reading_reg;
  reg read_half_reg;
  reg read_transpose_reg;
  reg [3:0] read_index_reg;
  reg [127:0] out_reg;

  wire complete = in_valid && write_index_reg == LAST;

  // A read that a reset interrupts would end by itself: at the latest in the cycle in which the first block behind the
  // reset is complete. So reading_reg is reset only so that nothing is read without a block.
  always @(posedge clk) begin
    if (complete) begin
      read_half_reg <= write_half_reg;
      read_transpose_reg <= in_transpose;
    end
    if (rst) begin
      write_half_reg <= 1'b0;
      write_index_reg <= 4'd0;
      reading_reg <= 1'b0;
      read_index_reg <= 4'd0;
    end else begin
      if (in_valid) write_index_reg <= write_index_reg + 4'd1;
      if (complete) write_half_reg <= !write_half_reg;
      if (complete) reading_reg <= 1'b1;
      else if (read_index_reg == LAST) reading_reg <= 1'b0;
      if (reading_reg) read_index_reg <= read_index_reg + 4'd1;
    end
  end

  // Byte lane l moves to lane (l + write_index_reg) mod 16.
  wire [127:0] in_1 = write_index_reg[0] ? {in_data[119:0], in_data[127:120]} : in_data;
  wire [127:0] in_2 = write_index_reg[1] ? {in_1[111:0], in_1[127:112]} : in_1;
  wire [127:0] in_4 = write_index_reg[2] ? {in_2[95:0], in_2[127:96]} : in_2;
  wire [127:0] in_8 = write_index_reg[3] ? {in_4[63:0], in_4[127:64]} : in_4;

  wire [127:0] read_data;

  genvar m;
  generate
    for (m = 0; m < 16; m = m + 1) begin : lane
      localparam [31:0] NUMBER_32 = m;
      localparam [3:0] NUMBER = NUMBER_32[3:0];
      reg [7:0] memory[0:31];
      wire [3:0] read_row = read_transpose_reg ? NUMBER - read_index_reg : read_index_reg;

      always @(posedge clk) begin
        if (in_valid) memory[{write_half_reg, write_index_reg}] <= in_8[8*m+:8];
      end

      assign read_data[8*m+:8] = memory[{read_half_reg, read_row}];
    end
  endgenerate

  // Lane (l + read_index_reg) mod 16 moves back to lane l.
  wire [127:0] out_1 = read_index_reg[0] ? {read_data[7:0], read_data[127:8]} : read_data;
  wire [127:0] out_2 = read_index_reg[1] ? {out_1[15:0], out_1[127:16]} : out_1;
  wire [127:0] out_4 = read_index_reg[2] ? {out_2[31:0], out_2[127:32]} : out_2;
  wire [127:0] out_8 = read_index_reg[3] ? {out_4[63:0], out_4[127:64]} : out_4;

  always @(posedge clk) if (reading_reg) out_reg <= out_8;

  assign out_data = out_reg;

endmodule

`default_nettype wire
