`default_nettype none

// 16 x 16 multiply-accumulates: the product of a matrix of 16 rows and one of 16 columns, one step of the sum a cycle.
//
// On every `valid` step acc[r][c] (+)= rows[r] * columns[c], modulo 2^ACC_W; `first` starts a new sum, `last` is the
// step that ends it. With `last` in cycle m, row r stands at the outputs in cycle m + 3 + r, and row_valid is high in
// exactly these 16 cycles. The next `last` must be 16 cycles later or more; steps need not be contiguous.
//
// The array is skewed: row r works r cycles behind row 0, on operands that were passed on from row to row. So the sums
// of a tile become complete one row a cycle, in the order in which they leave, and the next tile's sums may start at
// once in the rows that have left: no second set of registers. Step at the inputs in cycle n: product of row r in
// n + r, sum in n + r + 1, output register in n + r + 2.
//
// Parameters
//   ACC_W  width of a sum, bits, 16 or more
module mac_tile #(
    parameter ACC_W = 26
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                valid,
    input  wire                first,
    input  wire                last,
    input  wire [       127:0] rows,       // row r at bits [8r+:8], two's complement
    input  wire [       127:0] columns,    // column c at bits [8c+:8], two's complement
    output wire                row_valid,
    output wire [         3:0] row_index,
    output wire [16*ACC_W-1:0] row_acc     // column c at bits [ACC_W*c+:ACC_W], two's complement
);

  localparam ROW_W = 16 * ACC_W;

  generate
    if (ACC_W < 16) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_below_16 stop ();
    end
  endgenerate

  // Bit d: `valid`, `first` of the step d + 1 cycles ago. Bit r of `multiply` and of `start` is for row r.
  reg  [15:0] valid_reg;
  reg  [15:0] first_reg;
  wire [15:0] multiply = {valid_reg[14:0], valid};

  // Neither is reset: what a reset leaves behind goes before the first step of the next sum in every row, and that step
  // starts anew. What leaves the tile is decided below.
  always @(posedge clk) begin
    first_reg <= {first_reg[14:0], first};
    valid_reg <= multiply;
  end

  genvar r, c;
  generate
    for (r = 0; r < 16; r = r + 1) begin : row
      wire [127:0] columns_here;
      wire [7:0] value;
      wire [ROW_W-1:0] acc;

      // The columns pass from row to row; the row's own value waits r cycles, in a shift register.
      if (r == 0) begin : top
        assign columns_here = columns;
        assign value = rows[7:0];
      end else begin : below
        reg [127:0] columns_reg;
        always @(posedge clk) if (multiply[r-1]) columns_reg <= row[r-1].columns_here;
        assign columns_here = columns_reg;
        if (r == 1) begin : delay
          reg [7:0] value_reg;
          always @(posedge clk) value_reg <= rows[8*r+:8];
          assign value = value_reg;
        end else begin : delay
          reg [8*r-1:0] value_reg;
          always @(posedge clk) value_reg <= {value_reg[8*(r-1)-1:0], rows[8*r+:8]};
          assign value = value_reg[8*(r-1)+:8];
        end
      end

      for (c = 0; c < 16; c = c + 1) begin : column
        mac_cell #(
            .ACC_W(ACC_W)
        ) mac (
            .clk(clk),
            .multiply(multiply[r]),
            .accumulate(valid_reg[r]),
            .first(first_reg[r]),
            .a(value),
            .b(columns_here[8*c+:8]),
            .sum(acc[ACC_W*c+:ACC_W])
        );
      end
    end
  endgenerate

  // last_reg: the step before was a tile's last. Two cycles after that step row 0 is complete, and the rows leave.
  reg last_reg;
  reg leaving_reg;
  reg [3:0] index_reg;
  reg row_valid_reg;
  reg [3:0] row_index_reg;
  reg [ROW_W-1:0] row_acc_reg;

  always @(posedge clk) begin
    if (rst) begin
      last_reg <= 1'b0;
      leaving_reg <= 1'b0;
      index_reg <= 4'd0;
      row_valid_reg <= 1'b0;
    end else begin
      last_reg <= valid && last;
      if (last_reg) leaving_reg <= 1'b1;
      else if (index_reg == 4'd15) leaving_reg <= 1'b0;
      if (leaving_reg) index_reg <= index_reg + 4'd1;
      row_valid_reg <= leaving_reg;
    end
  end

  always @(posedge clk) begin
    if (leaving_reg) begin
      row_index_reg <= index_reg;
      case (index_reg)
        4'd0: row_acc_reg <= row[0].acc;
        4'd1: row_acc_reg <= row[1].acc;
        4'd2: row_acc_reg <= row[2].acc;
        4'd3: row_acc_reg <= row[3].acc;
        4'd4: row_acc_reg <= row[4].acc;
        4'd5: row_acc_reg <= row[5].acc;
        4'd6: row_acc_reg <= row[6].acc;
        4'd7: row_acc_reg <= row[7].acc;
        4'd8: row_acc_reg <= row[8].acc;
        4'd9: row_acc_reg <= row[9].acc;
        4'd10: row_acc_reg <= row[10].acc;
        4'd11: row_acc_reg <= row[11].acc;
        4'd12: row_acc_reg <= row[12].acc;
        4'd13: row_acc_reg <= row[13].acc;
        4'd14: row_acc_reg <= row[14].acc;
        default: row_acc_reg <= row[15].acc;
      endcase
    end
  end

  assign row_valid = row_valid_reg;
  assign row_index = row_index_reg;
  assign row_acc   = row_acc_reg;

endmodule

`default_nettype wire
