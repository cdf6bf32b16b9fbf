// Two linears with a ReLU between them, one multiplier, started job by job. It reads its input from one RAM (two cycles
// from address to data), its parameters from ROMs, keeps the hidden layer in a RAM of both directions, and writes its
// output to a third RAM, two values a word.
module jobs #(
    parameter TOKENS = 3,
    parameter INPUTS = 6,
    parameter HIDDEN = 4,
    parameter OUTPUTS = 2
) (
    input wire clk,
    input wire rst,
    input wire start,
    output reg done,
    output wire busy,
    output wire [7:0] x_addr,
    output wire x_en,
    input wire signed [7:0] x_q,
    output reg [7:0] h_addr,
    output wire h_en,
    output reg h_we,
    output reg [7:0] h_d,
    input wire signed [7:0] h_q,
    output reg [7:0] y_addr,
    output reg y_we,
    output reg [15:0] y_d
);
  reg signed [7:0] w1[0:INPUTS*HIDDEN-1], b1[0:HIDDEN-1];
  reg signed [7:0] w2[0:HIDDEN*OUTPUTS-1], b2[0:OUTPUTS-1];
  reg [7:0] s1[0:HIDDEN-1], s2[0:OUTPUTS-1];
  initial begin
    $readmemh("w1.hex", w1);
    $readmemh("b1.hex", b1);
    $readmemh("s1.hex", s1);
    $readmemh("w2.hex", w2);
    $readmemh("b2.hex", b2);
    $readmemh("s2.hex", s2);
  end

  localparam IDLE = 0, READ = 1, WAIT = 2, SUM = 3, ROUND = 4, WRITE = 5;
  reg [2:0] state;
  reg layer;
  reg [7:0] token, row, column;
  reg signed [31:0] sum;
  wire [7:0] columns = layer ? HIDDEN : INPUTS;
  wire [7:0] rows = layer ? OUTPUTS : HIDDEN;
  wire signed [7:0] weight = layer ? w2[row*HIDDEN+column] : w1[row*INPUTS+column];
  wire signed [7:0] bias = layer ? b2[row[$clog2(OUTPUTS)-1:0]] : b1[row[$clog2(HIDDEN)-1:0]];
  wire [7:0] shift = layer ? s2[row[$clog2(OUTPUTS)-1:0]] : s1[row[$clog2(HIDDEN)-1:0]];
  wire signed [7:0] operand = layer ? h_q : x_q;
  wire signed [31:0] product = weight * operand;
  wire signed [31:0] half = shift == 0 ? 0 : 32'sd1 <<< (shift - 1);
  wire signed [31:0] rounded = ((sum + half) >>> shift) + $signed({{24{bias[7]}}, bias});
  reg signed [7:0] q;
  wire signed [7:0] relu = q < 0 ? 8'sd0 : q;
  // Shown to a testbench: a value of the first linear, and of the ReLU behind it.
  wire fc1_valid = state == WRITE && !layer;

  assign busy = state != IDLE;
  assign x_addr = token * INPUTS + column;
  assign x_en = state == READ && !layer;
  assign h_en = (state == READ && layer) || h_we;

  always @(*) h_addr = h_we ? token * HIDDEN + row : token * HIDDEN + column;
  always @(*) h_we = state == WRITE && !layer;
  always @(*) h_d = relu;

  always @(posedge clk) begin
    done <= 0;
    y_we <= 0;
    case (state)
      IDLE:
      if (start) begin
        state <= READ;
        {layer, token, row, column} <= 0;
        sum <= 0;
      end
      // The input's RAM takes two cycles, the hidden layer's one.
      READ: state <= layer ? SUM : WAIT;
      WAIT: state <= SUM;
      SUM: begin
        sum <= sum + product;
        column <= column + 1;
        state <= column + 1 == columns ? ROUND : READ;
      end
      ROUND: begin
        q <= rounded > 127 ? 8'sd127 : rounded < -128 ? -8'sd128 : rounded[7:0];
        state <= WRITE;
      end
      WRITE: begin
        if (layer) begin
          y_d <= {q, y_d[15:8]};
          y_addr <= token;
          y_we <= row[0];
        end
        column <= 0;
        sum <= 0;
        row <= row + 1;
        state <= READ;
        if (row + 1 == rows) begin
          row <= 0;
          token <= token + 1;
          if (token + 1 == TOKENS) begin
            token <= 0;
            layer <= 1;
            if (layer) begin
              state <= IDLE;
              done <= 1;
            end
          end
        end
      end
      default: state <= IDLE;
    endcase
    if (rst) begin
      state <= IDLE;
      done <= 0;
      y_we <= 0;
    end
  end
endmodule
