`default_nettype none
`timescale 1ns / 1ps

// Made by fxsim: gives a design the words of stimulus.hex, and compares the output with expected.hex and each tap with
// its own file. It prints one line that begins with PASS or FAIL, with the first difference. A bit that is X or Z
// differs, and so does a handshake that is; too few values fail, and too many. parameters.v says how many words there
// are, and how they lie.
//
// STALL: cycles of 100 in which either side holds back, where its stream can. RESETS: of one cycle each, at random;
// after each of them all is sent again.
//
// With FOUR_STATE_EVENTS nothing is compared here: every value is written down in the file of that name, whatever it is
// (see fxsim/simulate/four_state.py).
module testbench;

`ifdef FOUR_STATE_EVENTS
  parameter STALL = `FOUR_STATE_STALL;
  parameter RESETS = `FOUR_STATE_RESETS;
`else
  parameter STALL = 0;
  parameter RESETS = 0;
`endif

  localparam IN_W = `KIT_IN_BITS * `KIT_IN_LANES;
  localparam SENT_MAX = `KIT_IMAGES * `KIT_IN_BEATS;

  reg clk = 1'b0;
  reg rst = 1'b0;
  reg [IN_W-1:0] in_data;
  reg in_valid = 1'b0;
  wire in_ready;
  reg in_last;
  reg in_start = 1'b0;
  reg [`KIT_IN_LANES-1:0] in_keep;
  wire [`KIT_OUT_BITS*`KIT_OUT_LANES-1:0] out_data;
  wire out_valid;
  reg out_ready = 1'b0;
  wire out_last;
  wire [`KIT_OUT_LANES-1:0] out_keep;

  `KIT_INSTANCE
  reg looked = 1'b0;  // changes once a cycle, when every signal has settled
  `KIT_STREAMS

  reg [IN_W-1:0] stimulus[0:SENT_MAX-1];
  integer entered[0:`KIT_IMAGES-1];  // cycle of each image's first beat; -1: not yet

  integer seed = 1;
  integer cycle = 0;
  integer sent = 0;
  integer idle = 0;
  integer since = `KIT_INTERVAL;
  integer resets = 0;
  integer reset_beats = 0;
  integer reset_delay = 0;
  integer i;
  integer lanes;
  integer events;
  reg [31:0] nonce;
  reg ended = 1'b0;  // at the first thing that is wrong, or when all is done; whoever sets it says how, too
  reg [8*8-1:0] how = "done";
  reg held;
  reg moved;

  // A word that is missing in a file is X, and so differs from everything.
  initial begin
    $readmemh("stimulus.hex", stimulus);
    for (i = 0; i < `KIT_IMAGES; i = i + 1) entered[i] = -1;
`ifdef FOUR_STATE_EVENTS
    events = $fopen(`FOUR_STATE_EVENTS);
`endif
  end

  always #5 clk = !clk;

  // Where the next reset is: after so many beats, and then so many cycles.
  task draw_reset;
    begin
      reset_beats = $unsigned($random(seed)) % SENT_MAX;
      reset_delay = $unsigned($random(seed)) % 32;
    end
  endtask

  // The last one comes before the last beat does.
  task reset_amid_images;
    begin
      if (sent >= reset_beats) begin
        if (reset_delay == 0 || out.taken >= out.ALL - 1) begin
          rst = 1'b1;
          resets = resets + 1;
`ifdef FOUR_STATE_EVENTS
          $fdisplay(events, "reset again %0d -", cycle);
`endif
          draw_reset;
          sent = 0;
          idle = 0;
          since = `KIT_INTERVAL;
          in_valid = 1'b0;
          in_start = 1'b0;
          for (i = 0; i < `KIT_IMAGES; i = i + 1) entered[i] = -1;
        end else reset_delay = reset_delay - 1;
      end
    end
  endtask

  // Signals change at the falling edge, and are looked at just before the rising one.
  always @(negedge clk)
    if (!ended) begin
      rst  = cycle < `KIT_RESET_CYCLES;
      held = 1'b0;
      if (cycle == 0 && RESETS != 0) draw_reset;
      if (!rst && resets < RESETS) reset_amid_images;
      if (!rst) begin
        if (!in_valid && sent < SENT_MAX) begin
          // Where no beat may be missing amid an image, only a whole image is held back.
          held = $unsigned($random(seed)) % 100 < STALL && (!`KIT_IN_WHOLE_IMAGES || sent % `KIT_IN_BEATS == 0);
          in_valid = !held && (sent % `KIT_IN_BEATS != 0 || since >= `KIT_INTERVAL);
        end
        in_start = in_valid && sent % `KIT_IN_BEATS == 0;
        // While nothing is offered nobody may look at what would be.
        in_data  = {IN_W{1'bx}};
        in_last  = 1'bx;
        in_keep  = {`KIT_IN_LANES{1'bx}};
        if (in_valid) begin
          in_data = stimulus[sent];
          in_last = 1'b0;
          if (`KIT_IN_LAST_EVERY != 0) in_last = (sent + 1) % `KIT_IN_LAST_EVERY == 0;
          lanes = (sent % `KIT_IN_ROW_BEATS == `KIT_IN_ROW_BEATS - 1) ? `KIT_IN_TAIL : `KIT_IN_LANES;
          for (i = 0; i < `KIT_IN_LANES; i = i + 1) in_keep[`KIT_IN_LOW_FIRST ? i : `KIT_IN_LANES - 1 - i] = i < lanes;
        end
        out_ready = !(`KIT_OUT_HAS_READY && $unsigned($random(seed)) % 100 < STALL);
      end
      #4;
      moved = 1'b0;
      if (!rst) begin
        since = since + 1;
        if ((in_ready ^ in_ready) !== 1'b0) begin
`ifdef FOUR_STATE_EVENTS
          $fdisplay(events, "unknown in_ready %0d %b", cycle, in_ready);
`else
          $display("FAIL: input: ready is %b (cycle %0d)", in_ready, cycle);
`endif
          how   = "unknown";
          ended = 1'b1;
        end
        if (in_valid && in_ready) begin
          if (sent % `KIT_IN_BEATS == 0) begin
            entered[sent/`KIT_IN_BEATS] = cycle;
            since = 1;
          end
          sent  = sent + 1;
          moved = 1'b1;
        end
      end
      looked = !looked;
      #0.5;
      if (!rst) begin
        if (moved) idle = 0;
        else if (!held && out_ready) idle = idle + 1;
        if (!ended && whole && sent == SENT_MAX && resets == RESETS && idle >= `KIT_DRAIN) begin
`ifndef FOUR_STATE_EVENTS
          $display("PASS: %0d images, %0d beats equal", `KIT_IMAGES, compared);
          if ($value$plusargs("nonce=%d", nonce))
            $display("KIT %0d PASS: %0d images, %0d beats equal", nonce, `KIT_IMAGES, compared);
`endif
          ended = 1'b1;
        end else if (!ended && idle > `KIT_WATCHDOG) begin
`ifndef FOUR_STATE_EVENTS
          $display("FAIL: %0d of %0d beats came out, %0d of %0d went in, %0d of %0d taps gave all of theirs (cycle %0d)",
                   out.taken, out.ALL, sent, SENT_MAX, whole_taps, `KIT_TAPS, cycle);
`endif
          how   = "stuck";
          ended = 1'b1;
        end
      end
      if (ended) begin
`ifdef FOUR_STATE_EVENTS
        $fdisplay(events, "end %0s %0d -", how, cycle);
        $fclose(events);
`endif
        $finish(0);
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
