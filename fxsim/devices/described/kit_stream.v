`default_nettype none
`timescale 1ns / 1ps

// The beats of one stream, the output's or a tap's: compares them, or writes them down. LATENCY is of a stream without
// valid: its beats come one a cycle, so many cycles behind the first beat of their image. `most` beats may have come by
// now, and `least` must have. AXI: it keeps the rules of AXI4-Stream: what waits stays as it is, and nothing is valid in
// the last cycle of a reset that has several (`settled`).
module kit_stream #(
    parameter NAME = "",
    parameter FILE = "",
    parameter EVENT = "",
    parameter BITS = 8,
    parameter LANES = 1,
    parameter BEATS = 1,
    parameter ROW_BEATS = 1,
    parameter TAIL = 1,
    parameter LOW_FIRST = 1,
    parameter BIG_ENDIAN = 0,
    parameter LAST_EVERY = 0,
    parameter HAS_KEEP = 0,
    parameter HAS_START = 0,
    parameter HAS_VALID = 1,
    parameter LATENCY = 0,
    parameter AXI = 0
) (
    input wire looked,
    input wire [BITS*LANES-1:0] data,
    input wire valid,
    input wire ready,
    input wire last,
    input wire start,
    input wire [LANES-1:0] keep,
    input wire [31:0] most,
    input wire [31:0] least,
    input wire settled
);

  localparam ALL = `KIT_IMAGES * BEATS;

  integer taken = 0;
  integer i;
  integer lanes;
  integer at;
  reg due;
  wire whole = taken == ALL;
  reg waits = 1'b0;  // a beat was there in the last cycle, and was not taken
  reg [BITS*LANES+LANES+1:0] kept;

  // A rule that is broken, which is said once.
  task accuse;
    input [8*40-1:0] what;
    if (!testbench.ended) begin
`ifdef FOUR_STATE_EVENTS
      $fdisplay(testbench.events, "fault %0s: image %0d, beat %0d: %0s (cycle %0d)", NAME, taken / BEATS, taken % BEATS,
                what, testbench.cycle);
`else
      $display("FAIL: image %0d, %0s, beat %0d: %0s (cycle %0d)", taken / BEATS, NAME, taken % BEATS, what,
               testbench.cycle);
`endif
      testbench.how   = "wrong";
      testbench.ended = 1'b1;
    end
  endtask

`ifdef FOUR_STATE_EVENTS
  integer to;
  reg [BITS-1:0] value;

  task say_unknown;
    input [8*8-1:0] what;
    input bit_;
    if (!testbench.ended) begin
      $fdisplay(testbench.events, "unknown %0s_%0s %0d %b", EVENT, what, testbench.cycle, bit_);
      testbench.how   = "unknown";
      testbench.ended = 1'b1;
    end
  endtask

  task say_missing;
    begin
      testbench.how   = "missing";
      testbench.ended = 1'b1;
    end
  endtask

  task take;
    begin
      for (i = 0; i < lanes; i = i + 1) begin
        at = BITS * (LOW_FIRST ? i : LANES - 1 - i);
        value = data[at+:BITS];
        // The most significant byte first, as everywhere.
        for (to = 0; BIG_ENDIAN && to < BITS; to = to + 8) value[to+:8] = data[at+BITS-8-to+:8];
        $fdisplay(testbench.events, "value %0s %0d %b", EVENT, testbench.cycle, value);
      end
      if (LAST_EVERY != 0) $fdisplay(testbench.events, "value %0s_last %0d %b", EVENT, testbench.cycle, last);
      if (HAS_START) $fdisplay(testbench.events, "value %0s_start %0d %b", EVENT, testbench.cycle, start);
      for (i = 0; HAS_KEEP && i < LANES; i = i + 1)
        $fdisplay(testbench.events, "value %0s_keep %0d %b", EVENT, testbench.cycle,
                  keep[LOW_FIRST ? i : LANES - 1 - i]);
      if (taken >= most && !testbench.ended) begin
        testbench.how   = "surplus";
        testbench.ended = 1'b1;
      end
    end
  endtask
`else
  reg [BITS*LANES-1:0] expected[0:ALL-1];
  initial $readmemh(FILE, expected);

  task say_unknown;
    input [8*8-1:0] what;
    input value;
    if (!testbench.ended) begin
      $display("FAIL: %0s: %0s is %b (cycle %0d)", NAME, what, value, testbench.cycle);
      testbench.ended = 1'b1;
    end
  endtask

  task say_missing;
    begin
      $display("FAIL: %0s: %0d beats came where the next image begins, expected %0d (cycle %0d)", NAME, taken, least,
               testbench.cycle);
      testbench.ended = 1'b1;
    end
  endtask

  task take;
    begin
      if (taken >= most && !testbench.ended) begin
        $display("FAIL: %0s: more than %0d beats came (cycle %0d)", NAME, most, testbench.cycle);
        testbench.ended = 1'b1;
      end
      for (i = 0; i < lanes && !testbench.ended; i = i + 1) begin
        at = BITS * (LOW_FIRST ? i : LANES - 1 - i);
        if (data[at+:BITS] !== expected[taken][at+:BITS]) begin
          $display("FAIL: image %0d, %0s, beat %0d, lane %0d: expected %h, got %h (cycle %0d)", taken / BEATS, NAME,
                   taken % BEATS, i, expected[taken][at+:BITS], data[at+:BITS], testbench.cycle);
          testbench.ended = 1'b1;
        end else if (^expected[taken][at+:BITS] === 1'bx) begin
          $display("FAIL: %0s has no value for image %0d, beat %0d", FILE, taken / BEATS, taken % BEATS);
          testbench.ended = 1'b1;
        end
      end
      if (!testbench.ended && LAST_EVERY != 0)
        if (last !== ((taken + 1) % LAST_EVERY == 0)) begin
          $display("FAIL: image %0d, %0s, beat %0d: last is %b (cycle %0d)", taken / BEATS, NAME, taken % BEATS, last,
                   testbench.cycle);
          testbench.ended = 1'b1;
        end
      if (!testbench.ended && HAS_START)
        if (start !== (taken % BEATS == 0)) begin
          $display("FAIL: image %0d, %0s, beat %0d: start is %b (cycle %0d)", taken / BEATS, NAME, taken % BEATS, start,
                   testbench.cycle);
          testbench.ended = 1'b1;
        end
      for (i = 0; HAS_KEEP && i < LANES && !testbench.ended; i = i + 1)
        if (keep[LOW_FIRST?i : LANES-1-i] !== (i < lanes)) begin
          $display("FAIL: image %0d, %0s, beat %0d: keep is %b (cycle %0d)", taken / BEATS, NAME, taken % BEATS, keep,
                   testbench.cycle);
          testbench.ended = 1'b1;
        end
    end
  endtask
`endif

  always @(looked)
    if (testbench.rst) begin
      taken = 0;
      waits = 1'b0;
      if (AXI && settled && valid === 1'b1) accuse("valid set during reset");
    end
    else if (taken < least && !testbench.ended) say_missing;
    else if (!testbench.ended) begin
      due = valid;
      if (!HAS_VALID) begin
        due = 1'b0;
        if (taken < ALL)
          due = testbench.entered[taken/BEATS] >= 0 &&
              testbench.cycle == testbench.entered[taken/BEATS] + LATENCY + taken % BEATS;
      end
      if ((due ^ due) !== 1'b0) say_unknown("valid", due);
      else if ((ready ^ ready) !== 1'b0) say_unknown("ready", ready);
      else if (AXI && waits && !due) accuse("valid withdrawn");
      else if (AXI && waits && {data, last, start, keep} !== kept) accuse("beat changed while waiting");
      else if (due && ready) begin
        lanes = (taken % ROW_BEATS == ROW_BEATS - 1) ? TAIL : LANES;
        take;
        taken = taken + 1;
        testbench.moved = 1'b1;
      end
      waits = due && !ready;
      kept  = {data, last, start, keep};
    end

endmodule

`default_nettype wire
