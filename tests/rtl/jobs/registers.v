// The design of jobs.v behind AXI4-Lite registers: 0x00 start (write 1), 0x04 done (read; write 1 to clear), 0x08 the
// number of tokens, without which no job starts. The interrupt is high while done is.
module registers #(
    parameter TOKENS = 3,
    parameter INPUTS = 6,
    parameter HIDDEN = 4,
    parameter OUTPUTS = 2
) (
    input wire clk,
    input wire rst,
    input wire [3:0] s_axi_awaddr,
    input wire s_axi_awvalid,
    output wire s_axi_awready,
    input wire [31:0] s_axi_wdata,
    input wire [3:0] s_axi_wstrb,
    input wire s_axi_wvalid,
    output wire s_axi_wready,
    output wire [1:0] s_axi_bresp,
    output reg s_axi_bvalid,
    input wire s_axi_bready,
    input wire [3:0] s_axi_araddr,
    input wire s_axi_arvalid,
    output wire s_axi_arready,
    output reg [31:0] s_axi_rdata,
    output wire [1:0] s_axi_rresp,
    output reg s_axi_rvalid,
    input wire s_axi_rready,
    output wire irq,
    output wire [7:0] x_addr,
    output wire x_en,
    input wire [7:0] x_q,
    output wire [7:0] h_addr,
    output wire h_en,
    output wire h_we,
    output wire [7:0] h_d,
    input wire [7:0] h_q,
    output wire [7:0] y_addr,
    output wire y_we,
    output wire [15:0] y_d
);
  reg start, done, ready;
  reg [7:0] tokens;
  wire finished;
  // A write is taken when its address and its data are there.
  wire write = s_axi_awvalid && s_axi_wvalid && !s_axi_bvalid && ready;
  wire read = s_axi_arvalid && !s_axi_rvalid && ready;
  assign s_axi_awready = write;
  assign s_axi_wready = write;
  assign s_axi_arready = read;
  assign s_axi_bresp = 0;
  assign s_axi_rresp = 0;
  assign irq = done;
  always @(posedge clk) begin
    ready <= 1;
    start <= 0;
    if (s_axi_bready) s_axi_bvalid <= 0;
    if (s_axi_rready) s_axi_rvalid <= 0;
    if (write) begin
      s_axi_bvalid <= 1;
      if (s_axi_awaddr == 0) start <= s_axi_wdata[0] && tokens == TOKENS;
      if (s_axi_awaddr == 4 && s_axi_wdata[0]) done <= 0;
      if (s_axi_awaddr == 8) tokens <= s_axi_wdata[7:0];
    end
    if (read) begin
      s_axi_rvalid <= 1;
      s_axi_rdata <= s_axi_araddr == 4 ? {31'd0, done} : s_axi_araddr == 8 ? {24'd0, tokens} : 32'd0;
    end
    if (finished) done <= 1;
    if (rst) begin
      ready <= 0;
      start <= 0;
      done <= 0;
      tokens <= 0;
      s_axi_bvalid <= 0;
      s_axi_rvalid <= 0;
    end
  end

  jobs #(
      .TOKENS (TOKENS),
      .INPUTS (INPUTS),
      .HIDDEN (HIDDEN),
      .OUTPUTS(OUTPUTS)
  ) u_jobs (
      .clk(clk),
      .rst(rst),
      .start(start),
      .done(finished),
      .busy(),
      .x_addr(x_addr),
      .x_en(x_en),
      .x_q(x_q),
      .h_addr(h_addr),
      .h_en(h_en),
      .h_we(h_we),
      .h_d(h_d),
      .h_q(h_q),
      .y_addr(y_addr),
      .y_we(y_we),
      .y_d(y_d)
  );
endmodule
