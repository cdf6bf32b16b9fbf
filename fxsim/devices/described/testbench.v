`default_nettype none
`timescale 1ns / 1ps

// Made by fxsim: gives a design the words of each input stream, and compares the output with expected.hex and each tap
// with its own file. It prints one line that begins with PASS or FAIL, with the first difference. A bit that is X or Z
// differs, and so does a handshake that is; too few values fail, and too many. parameters.v says how many words there
// are, and how they lie.
//
// STALL: cycles of 100 in which either side holds back, where its stream can; of several inputs each does so by itself,
// or all in step where the design can hold none of them back. RESETS: of one cycle each, at random; after each of them
// all is sent again. WAITS: the output's ready stays low until its valid is high.
//
// With FOUR_STATE_EVENTS nothing is compared here: every value is written down in the file of that name, whatever it is
// (see fxsim/simulate/four_state.py).
module testbench;

`ifdef FOUR_STATE_EVENTS
  parameter STALL = `FOUR_STATE_STALL;
  parameter RESETS = `FOUR_STATE_RESETS;
  parameter WAITS = 0;
`else
  parameter STALL = 0;
  parameter RESETS = 0;
  parameter WAITS = 0;
`endif

  localparam SENT_MAX = `KIT_IMAGES * `KIT_IN_BEATS;

  reg clk = 1'b0;
  reg rst = 1'b0;
  wire [`KIT_OUT_BITS*`KIT_OUT_LANES-1:0] out_data;
  wire out_valid;
  reg out_ready = 1'b0;
  wire out_last;
  wire out_start;
  wire [`KIT_OUT_LANES-1:0] out_keep;

  `KIT_INSTANCE
  reg looked = 1'b0;  // changes once a cycle, when every signal has settled
  `KIT_STREAMS
  `KIT_FEEDS

  integer entered[0:`KIT_IMAGES-1];  // cycle of each image's first beat; -1: not yet

  integer seed = 1;
  integer cycle = 0;
  integer idle = 0;
  integer since = `KIT_INTERVAL;
  integer resets = 0;
  integer reset_beats = 0;
  integer reset_delay = 0;
  integer i;
  integer events;
  reg [31:0] nonce;
  reg ended = 1'b0;  // at the first thing that is wrong, or when all is done; whoever sets it says how, too
  reg [8*8-1:0] how = "done";
  reg held;
  reg moved;
  reg passed;

  initial begin
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
          `KIT_AGAIN
          idle = 0;
          since = `KIT_INTERVAL;
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
        `KIT_OFFER
        out_ready = !(`KIT_OUT_HAS_READY && $unsigned($random(seed)) % 100 < STALL);
        if (WAITS != 0 && out.waits !== 1'b1) out_ready = 1'b0;
      end
      #3;
      if (`KIT_OUT_AXI && !rst && out_ready && out_valid === 1'b1) begin
        // valid does not wait for ready.
        out_ready = 1'b0;
        #0.5;
        if (out_valid !== 1'b1) out.accuse("valid waits for ready");
        out_ready = 1'b1;
        #0.5;
      end else #1;
      moved = 1'b0;
      if (!rst) begin
        since = since + 1;
        `KIT_LOOK
      end
      looked = !looked;
      #0.5;
      if (!rst) begin
        if (moved) idle = 0;
        else if (!held && (out_ready || WAITS != 0)) idle = idle + 1;
        if (!ended && whole && sent == SENT_MAX && resets == RESETS && idle >= `KIT_DRAIN) begin
`ifndef FOUR_STATE_EVENTS
          $display("PASS: %0d images, %0d beats equal", `KIT_IMAGES, compared);
          if ($value$plusargs("nonce=%d", nonce))
            $display("KIT %0d PASS: %0d images, %0d beats equal", nonce, `KIT_IMAGES, compared);
`endif
          ended = 1'b1;
        end else if (!ended && idle > `KIT_WATCHDOG) begin
          // What comes once ready is high has waited for it.
          for (i = 0; WAITS != 0 && i < `KIT_DRAIN && out_valid !== 1'b1; i = i + 1) begin
            out_ready = 1'b1;
            @(negedge clk) #4;
          end
          if (WAITS != 0 && out_valid === 1'b1) out.accuse("valid waits for ready");
`ifndef FOUR_STATE_EVENTS
          if (!ended)
            $display("FAIL: %0d of %0d beats came out, %0d of %0d went in, %0d of %0d taps gave all of theirs (cycle %0d)",
                   out.taken, out.ALL, sent, SENT_MAX, whole_taps, `KIT_TAPS, cycle);
`endif
          if (!ended) how = "stuck";
          ended = 1'b1;
        end
      end
      passed = `KIT_PASSED;
      if (ended) begin
`ifdef FOUR_STATE_EVENTS
        $fdisplay(events, "end %0s %0d -", how, cycle);
        $fclose(events);
`endif
        $finish(0);
      end
      if (!ended && passed && !rst) begin
        // Taken at the rising edge that follows.
        @(posedge clk);
        #1;
        `KIT_DROP
      end
      cycle = cycle + 1;
    end

endmodule

`default_nettype wire
