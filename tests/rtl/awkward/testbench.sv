// Runs the awkward design on stimulus.hex, with a pause after every fifth beat, and writes awkward.vcd.
`timescale 1ns / 1ps
module testbench;
  parameter BEATS = 108;
  reg clk = 0;
  reg rst_n = 1;
  reg vld = 0;
  reg [15:0] pair = 0;
  wire out_vld;
  wire [31:0] out_vec;
  reg [15:0] beats[0:BEATS-1];
  integer i;

  awkward dut (
      .clk_i(clk),
      .rst_ni(rst_n),
      .mode_i(1'b1),
      .in_vld(vld),
      .in_pair(pair),
      .out_vld(out_vld),
      .out_vec(out_vec)
  );

  always #5 clk = !clk;

  initial begin
    $dumpfile("awkward.vcd");
    $dumpvars(0, testbench);
    $readmemh("stimulus.hex", beats);
    #2 rst_n = 0;
    #30 rst_n = 1;
    for (i = 0; i < BEATS; i = i + 1) begin
      @(negedge clk);
      vld  = 1;
      pair = beats[i];
      if (i % 5 == 4) begin
        @(negedge clk);
        vld = 0;
      end
    end
    @(negedge clk);
    vld = 0;
    #100 $finish;
  end
endmodule
