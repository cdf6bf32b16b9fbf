// A linear with four outputs and a ReLU, one multiplier, started job by job. As an AXI4 master of 32 bits it reads its
// parameters (ID 0: weights, biases, shifts) and its input (ID 1) at the same time, each in one burst, and writes the
// linear's result and the ReLU's back, each in one burst.
module dense #(
    parameter TOKENS = 5,
    parameter INPUTS = 8,
    parameter [31:0] PARAMETERS = 32'h1000,
    parameter [31:0] X = 32'h2000,
    parameter [31:0] FC = 32'h3000,
    parameter [31:0] Y = 32'h3100
) (
    input wire clk,
    input wire rst,
    input wire start,
    output reg done,
    output reg [0:0] m_axi_arid,
    output wire [31:0] m_axi_araddr,
    output wire [7:0] m_axi_arlen,
    output wire [2:0] m_axi_arsize,
    output wire [1:0] m_axi_arburst,
    output reg m_axi_arvalid,
    input wire m_axi_arready,
    input wire [0:0] m_axi_rid,
    input wire [31:0] m_axi_rdata,
    input wire [1:0] m_axi_rresp,
    input wire m_axi_rlast,
    input wire m_axi_rvalid,
    output wire m_axi_rready,
    output wire [0:0] m_axi_awid,
    output wire [31:0] m_axi_awaddr,
    output wire [7:0] m_axi_awlen,
    output wire [2:0] m_axi_awsize,
    output wire [1:0] m_axi_awburst,
    output reg m_axi_awvalid,
    input wire m_axi_awready,
    output wire [31:0] m_axi_wdata,
    output wire [3:0] m_axi_wstrb,
    output wire m_axi_wlast,
    output reg m_axi_wvalid,
    input wire m_axi_wready,
    input wire [0:0] m_axi_bid,
    input wire [1:0] m_axi_bresp,
    input wire m_axi_bvalid,
    output wire m_axi_bready
);
  localparam X_WORDS = TOKENS * INPUTS / 4, W_WORDS = INPUTS, PARAMETER_WORDS = W_WORDS + 2;
  reg [31:0] x[0:255], parameters[0:255];
  // What is written: the linear's words, then the ReLU's.
  reg [31:0] results[0:255];

  localparam IDLE = 0, READ = 1, SUM = 2, ROUND = 3, STORE = 4, WRITE = 5;
  reg [2:0] state;
  reg [7:0] x_count, parameter_count;
  reg [7:0] token, row, column, beat;
  reg relu;  // which of the two results is written
  reg signed [31:0] sum;
  reg signed [7:0] q;

  // A byte of a word, the first the lowest.
  wire [7:0] x_place = token * INPUTS + column, w_place = row * INPUTS + column;
  wire [31:0] x_word = x[x_place>>2] >> 8 * x_place[1:0], w_word = parameters[w_place>>2] >> 8 * w_place[1:0];
  wire [31:0] biases = parameters[W_WORDS], shifts = parameters[W_WORDS+1];
  wire [31:0] b_word = biases >> 8 * row[1:0], s_word = shifts >> 8 * row[1:0];
  wire signed [7:0] operand = x_word[7:0], weight = w_word[7:0], bias = b_word[7:0];
  wire [7:0] shift = s_word[7:0];
  wire signed [31:0] half = shift == 0 ? 32'sd0 : 32'sd1 <<< (shift - 1);
  wire signed [31:0] rounded = ((sum + half) >>> shift) + $signed({{24{bias[7]}}, bias});
  wire signed [7:0] rectified = q < 0 ? 8'sd0 : q;
  // Shown to a testbench: a value of the linear.
  wire fc_valid = state == STORE;

  assign m_axi_araddr = m_axi_arid ? X : PARAMETERS;
  assign m_axi_arlen = (m_axi_arid ? X_WORDS : PARAMETER_WORDS) - 1;
  assign m_axi_arsize = 2;
  assign m_axi_arburst = 1;
  assign m_axi_rready = state == READ;
  assign m_axi_awid = 0;
  assign m_axi_awaddr = relu ? Y : FC;
  assign m_axi_awlen = TOKENS - 1;
  assign m_axi_awsize = 2;
  assign m_axi_awburst = 1;
  assign m_axi_wdata = results[relu*TOKENS+beat];
  assign m_axi_wstrb = 4'hf;
  assign m_axi_wlast = beat == TOKENS - 1;
  assign m_axi_bready = 1;

  always @(posedge clk) begin
    done <= 0;
    if (m_axi_arvalid && m_axi_arready) begin
      m_axi_arvalid <= !m_axi_arid;
      m_axi_arid <= 1;
    end
    if (m_axi_awready) m_axi_awvalid <= 0;
    if (m_axi_wvalid && m_axi_wready) begin
      beat <= beat + 1;
      if (m_axi_wlast) m_axi_wvalid <= 0;
    end
    case (state)
      IDLE:
      if (start) begin
        state <= READ;
        m_axi_arvalid <= 1;
        m_axi_arid <= 0;
        {x_count, parameter_count, token, row, column} <= 0;
      end
      READ: begin
        if (m_axi_rvalid && m_axi_rid) begin
          x[x_count] <= m_axi_rdata;
          x_count <= x_count + 1;
        end
        if (m_axi_rvalid && !m_axi_rid) begin
          parameters[parameter_count] <= m_axi_rdata;
          parameter_count <= parameter_count + 1;
        end
        sum <= 0;
        if (x_count == X_WORDS && parameter_count == PARAMETER_WORDS) state <= SUM;
      end
      SUM: begin
        sum <= sum + weight * operand;
        column <= column + 1;
        if (column == INPUTS - 1) state <= ROUND;
      end
      ROUND: begin
        q <= rounded > 127 ? 8'sd127 : rounded < -128 ? -8'sd128 : rounded[7:0];
        state <= STORE;
      end
      STORE: begin
        results[token] <= {q, results[token][31:8]};
        results[TOKENS+token] <= {rectified, results[TOKENS+token][31:8]};
        sum <= 0;
        column <= 0;
        row <= row == 3 ? 0 : row + 1;
        token <= token + (row == 3);
        state <= SUM;
        if (row == 3 && token == TOKENS - 1) begin
          state <= WRITE;
          {relu, beat} <= 0;
          m_axi_awvalid <= 1;
          m_axi_wvalid <= 1;
        end
      end
      // A burst is in memory when it is answered.
      WRITE:
      if (m_axi_bvalid) begin
        relu <= 1;
        beat <= 0;
        m_axi_awvalid <= !relu;
        m_axi_wvalid <= !relu;
        done <= relu;
        if (relu) state <= IDLE;
      end
      default: state <= IDLE;
    endcase
    if (rst) begin
      state <= IDLE;
      done <= 0;
      m_axi_arvalid <= 0;
      m_axi_awvalid <= 0;
      m_axi_wvalid <= 0;
    end
  end
endmodule
