`default_nettype none
`timescale 1ns / 1ps

// Made by fxsim: gives a design the words of stimulus.hex, and compares what it gives with expected.hex. It prints one
// line that begins with PASS or FAIL, with the first difference. A bit that is X or Z differs, and so does a handshake
// that is; too few values fail, and too many. parameters.v says how many words there are, and how they lie.
//
// STALL: cycles of 100 in which either side holds back, where its stream can.
module testbench;

  parameter STALL = 0;

  localparam IN_W = `KIT_IN_BITS * `KIT_IN_LANES;
  localparam OUT_W = `KIT_OUT_BITS * `KIT_OUT_LANES;
  localparam SENT_MAX = `KIT_IMAGES * `KIT_IN_BEATS;
  localparam TAKEN_MAX = `KIT_IMAGES * `KIT_OUT_BEATS;

  reg clk = 1'b0;
  reg rst = 1'b0;
  reg [IN_W-1:0] in_data;
  reg in_valid = 1'b0;
  wire in_ready;
  reg in_last;
  reg in_start = 1'b0;
  reg [`KIT_IN_LANES-1:0] in_keep;
  wire [OUT_W-1:0] out_data;
  wire out_valid;
  reg out_ready = 1'b0;
  wire out_last;
  wire [`KIT_OUT_LANES-1:0] out_keep;

  `KIT_INSTANCE
  reg [IN_W-1:0] stimulus[0:SENT_MAX-1];
  reg [OUT_W-1:0] expected[0:TAKEN_MAX-1];
  integer entered[0:`KIT_IMAGES-1];  // cycle of each image's first beat; -1: not yet

  integer seed = 1;
  integer cycle = 0;
  integer sent = 0;
  integer taken = 0;
  integer idle = 0;
  integer since = `KIT_INTERVAL;
  integer i;
  integer lanes;
  integer at;
  reg [31:0] nonce;
  reg ended = 1'b0;
  reg valid;
  reg held;

  // A word that is missing in a file is X, and so differs from everything.
  initial begin
    $readmemh("stimulus.hex", stimulus);
    $readmemh("expected.hex", expected);
    for (i = 0; i < `KIT_IMAGES; i = i + 1) entered[i] = -1;
  end

  always #5 clk = !clk;

  task fail;
    begin
      ended = 1'b1;
      $finish;
    end
  endtask

  task check_beat;
    begin
      lanes = (taken % `KIT_OUT_ROW_BEATS == `KIT_OUT_ROW_BEATS - 1) ? `KIT_OUT_TAIL : `KIT_OUT_LANES;
      for (i = 0; i < lanes && !ended; i = i + 1) begin
        at = `KIT_OUT_BITS * (`KIT_OUT_LOW_FIRST ? i : `KIT_OUT_LANES - 1 - i);
        if (out_data[at+:`KIT_OUT_BITS] !== expected[taken][at+:`KIT_OUT_BITS]) begin
          $display("FAIL: image %0d, beat %0d, lane %0d: expected %h, got %h (cycle %0d)", taken / `KIT_OUT_BEATS,
                   taken % `KIT_OUT_BEATS, i, expected[taken][at+:`KIT_OUT_BITS], out_data[at+:`KIT_OUT_BITS], cycle);
          fail;
        end
        if (!ended && ^expected[taken][at+:`KIT_OUT_BITS] === 1'bx) begin
          $display("FAIL: expected.hex has no value for image %0d, beat %0d", taken / `KIT_OUT_BEATS,
                   taken % `KIT_OUT_BEATS);
          fail;
        end
      end
      if (!ended && `KIT_OUT_LAST_EVERY != 0)
        if (out_last !== ((taken + 1) % `KIT_OUT_LAST_EVERY == 0)) begin
          $display("FAIL: image %0d, beat %0d: last is %b (cycle %0d)", taken / `KIT_OUT_BEATS,
                   taken % `KIT_OUT_BEATS, out_last, cycle);
          fail;
        end
      if (!ended && `KIT_OUT_HAS_KEEP)
        for (i = 0; i < `KIT_OUT_LANES && !ended; i = i + 1)
          if (out_keep[`KIT_OUT_LOW_FIRST ? i : `KIT_OUT_LANES - 1 - i] !== (i < lanes)) begin
            $display("FAIL: image %0d, beat %0d: keep is %b (cycle %0d)", taken / `KIT_OUT_BEATS,
                     taken % `KIT_OUT_BEATS, out_keep, cycle);
            fail;
          end
      taken = taken + 1;
      idle = 0;
    end
  endtask

  // Signals change at the falling edge, and are looked at just before the rising one.
  always @(negedge clk)
    if (!ended) begin
      rst = cycle < `KIT_RESET_CYCLES;
      held = 1'b0;
      if (!rst) begin
        if (!in_valid && sent < SENT_MAX) begin
          // Where no beat may be missing amid an image, only a whole image is held back.
          held = $unsigned($random(seed)) % 100 < STALL && (!`KIT_IN_WHOLE_IMAGES || sent % `KIT_IN_BEATS == 0);
          in_valid = !held && (sent % `KIT_IN_BEATS != 0 || since >= `KIT_INTERVAL);
        end
        in_start = in_valid && sent % `KIT_IN_BEATS == 0;
        in_data = in_valid ? stimulus[sent] : {IN_W{1'bx}};
        in_last = 1'b0;
        if (`KIT_IN_LAST_EVERY != 0) in_last = (sent + 1) % `KIT_IN_LAST_EVERY == 0;
        lanes = (sent % `KIT_IN_ROW_BEATS == `KIT_IN_ROW_BEATS - 1) ? `KIT_IN_TAIL : `KIT_IN_LANES;
        for (i = 0; i < `KIT_IN_LANES; i = i + 1) in_keep[`KIT_IN_LOW_FIRST ? i : `KIT_IN_LANES - 1 - i] = i < lanes;
        out_ready = !(`KIT_OUT_HAS_READY && $unsigned($random(seed)) % 100 < STALL);
      end
      #4;
      if (!rst) begin
        idle  = (held || !out_ready) ? idle : idle + 1;
        since = since + 1;
        if (in_valid && (in_ready ^ in_ready) !== 1'b0) begin
          $display("FAIL: the input's ready is unknown (cycle %0d)", cycle);
          fail;
        end
        if (in_valid && in_ready) begin
          if (sent % `KIT_IN_BEATS == 0) begin
            entered[sent/`KIT_IN_BEATS] = cycle;
            since = 1;
          end
          sent = sent + 1;
          idle = 0;
        end
        valid = out_valid;
        if (!`KIT_OUT_HAS_VALID) begin
          valid = 1'b0;
          if (taken < TAKEN_MAX)
            valid = entered[taken/`KIT_OUT_BEATS] >= 0 &&
                cycle == entered[taken/`KIT_OUT_BEATS] + `KIT_LATENCY + taken % `KIT_OUT_BEATS;
        end
        if (!ended && (valid ^ valid) !== 1'b0) begin
          $display("FAIL: the output's valid is unknown (cycle %0d)", cycle);
          fail;
        end
        if (!ended && valid && out_ready) begin
          if (taken == TAKEN_MAX) begin
            $display("FAIL: more than %0d beats came out (cycle %0d)", TAKEN_MAX, cycle);
            fail;
          end else check_beat;
        end
        if (!ended && idle > `KIT_WATCHDOG) begin
          if (taken == TAKEN_MAX && sent == SENT_MAX) begin
            $display("PASS: %0d images, %0d beats equal", `KIT_IMAGES, taken);
            if ($value$plusargs("nonce=%d", nonce))
              $display("KIT %0d PASS: %0d images, %0d beats equal", nonce, `KIT_IMAGES, taken);
            ended = 1'b1;
            $finish;
          end else begin
            $display("FAIL: %0d of %0d beats came out, %0d of %0d went in (cycle %0d)", taken, TAKEN_MAX, sent, SENT_MAX,
                     cycle);
            fail;
          end
        end
      end
      if (!ended && in_valid && in_ready && !rst) begin
        // Taken at the rising edge that follows.
        @(posedge clk);
        #1 in_valid = 1'b0;
        in_start = 1'b0;
      end
      cycle = cycle + 1;
    end

endmodule

`default_nettype wire
