`default_nettype none

// A network of two layers, one token a beat: fc1, ReLU, fc2. AXI4-Stream in and out; tlast ends an image.
module mlp (
    input  wire        clk,
    input  wire        rst,
    input  wire [31:0] s_axis_tdata,
    input  wire        s_axis_tvalid,
    input  wire        s_axis_tlast,
    output wire        s_axis_tready,
    output wire [23:0] m_axis_tdata,
    output wire        m_axis_tvalid,
    output wire        m_axis_tlast,
    input  wire        m_axis_tready
);

  wire [31:0] fc1_tdata;
  wire fc1_tvalid, fc1_tlast, fc1_tready;

  layer #(
      .IN (4),
      .OUT(4),
      .ROM("fc1")
  ) fc1 (
      .clk(clk),
      .rst(rst),
      .s_tdata(s_axis_tdata),
      .s_tvalid(s_axis_tvalid),
      .s_tlast(s_axis_tlast),
      .s_tready(s_axis_tready),
      .m_tdata(fc1_tdata),
      .m_tvalid(fc1_tvalid),
      .m_tlast(fc1_tlast),
      .m_tready(fc1_tready)
  );

  layer #(
      .IN  (4),
      .OUT (3),
      .RELU(1),
      .ROM ("fc2")
  ) fc2 (
      .clk(clk),
      .rst(rst),
      .s_tdata(fc1_tdata),
      .s_tvalid(fc1_tvalid),
      .s_tlast(fc1_tlast),
      .s_tready(fc1_tready),
      .m_tdata(m_axis_tdata),
      .m_tvalid(m_axis_tvalid),
      .m_tlast(m_axis_tlast),
      .m_tready(m_axis_tready)
  );

endmodule

// y[n] = sat8(round_shift(sum of x[k] * weight[n][k], shift[n]) + bias[n]); with RELU, of max(x[k], 0).
module layer #(
    parameter IN   = 4,
    parameter OUT  = 4,
    parameter RELU = 0,
    parameter ROM  = "fc1"
) (
    input  wire             clk,
    input  wire             rst,
    input  wire [ 8*IN-1:0] s_tdata,
    input  wire             s_tvalid,
    input  wire             s_tlast,
    output wire             s_tready,
    output reg  [8*OUT-1:0] m_tdata,
    output reg              m_tvalid,
    output reg              m_tlast,
    input  wire             m_tready
);

  reg [7:0] weight[0:IN*OUT-1];
  reg [7:0] bias[0:OUT-1];
  reg [7:0] shift[0:OUT-1];
  initial begin
    $readmemh({ROM, "_weight.hex"}, weight);
    $readmemh({ROM, "_bias.hex"}, bias);
    $readmemh({ROM, "_shift.hex"}, shift);
  end

  integer n, k;
  reg signed [31:0] acc;
  reg signed [ 7:0] x;

  assign s_tready = !m_tvalid || m_tready;

  always @(posedge clk)
    if (rst) m_tvalid <= 0;
    else if (s_tready) begin
      m_tvalid <= s_tvalid;
      m_tlast  <= s_tlast;
      for (n = 0; n < OUT; n = n + 1) begin
        acc = 0;
        for (k = 0; k < IN; k = k + 1) begin
          x = s_tdata[8*k+:8];
          if (RELU == 0 || x > 0) acc = acc + x * $signed(weight[IN*n+k]);
        end
        if (shift[n] != 0) acc = (acc + (32'sd1 << (shift[n] - 1))) >>> shift[n];
        acc = acc + $signed(bias[n]);
        m_tdata[8*n+:8] <= acc > 127 ? 8'sd127 : acc < -128 ? -8'sd128 : acc[7:0];
      end
    end

endmodule

`default_nettype wire
