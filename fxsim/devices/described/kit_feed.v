`default_nettype none
`timescale 1ns / 1ps

// The words of one input stream: each is offered until it is taken. With WHOLE no beat may be missing amid an image: only
// a whole image is held back.
module kit_feed #(
    parameter NAME = "",
    parameter FILE = "",
    parameter EVENT = "",
    parameter BITS = 8,
    parameter LANES = 1,
    parameter BEATS = 1,
    parameter ROW_BEATS = 1,
    parameter TAIL = 1,
    parameter LOW_FIRST = 1,
    parameter LAST_EVERY = 0,
    parameter WHOLE = 0
) (
    output reg [BITS*LANES-1:0] data,
    output reg valid,
    input wire ready,
    output reg last,
    output reg [LANES-1:0] keep,
    output reg start
);

  localparam ALL = `KIT_IMAGES * BEATS;

  reg [BITS*LANES-1:0] words[0:ALL-1];
  integer sent = 0;
  integer i;
  integer lanes;
  reg may = 1'b0;  // whether a beat may be offered in this cycle
  reg passed = 1'b0;  // whether one was taken
  wire begins = sent % BEATS == 0;

  // A word that is missing in a file is X, and so differs from everything.
  initial begin
    $readmemh(FILE, words);
    valid = 1'b0;
    start = 1'b0;
  end

  task again;
    begin
      sent = 0;
      rest;
    end
  endtask

  task rest;
    begin
      valid = 1'b0;
      start = 1'b0;
      passed = 1'b0;
    end
  endtask

  task draw;
    reg held;
    begin
      may = 1'b0;
      if (!valid && sent < ALL) begin
        held = $unsigned($random(testbench.seed)) % 100 < testbench.STALL && (!WHOLE || begins);
        may = !held && (!begins || testbench.since >= `KIT_INTERVAL);
        testbench.held = testbench.held || held;
      end
    end
  endtask

  // Of streams in step: goes on with an image that has begun.
  task go_on;
    may = !begins;
  endtask

  task offer;
    begin
      if (!valid && sent < ALL) valid = may;
      start = valid && begins;
      // While nothing is offered nobody may look at what would be.
      data  = {BITS * LANES{1'bx}};
      last  = 1'bx;
      keep  = {LANES{1'bx}};
      if (valid) begin
        data = words[sent];
        last = 1'b0;
        if (LAST_EVERY != 0) last = (sent + 1) % LAST_EVERY == 0;
        lanes = (sent % ROW_BEATS == ROW_BEATS - 1) ? TAIL : LANES;
        for (i = 0; i < LANES; i = i + 1) keep[LOW_FIRST ? i : LANES - 1 - i] = i < lanes;
      end
    end
  endtask

  task look;
    begin
      if ((ready ^ ready) !== 1'b0 && !testbench.ended) begin
`ifdef FOUR_STATE_EVENTS
        $fdisplay(testbench.events, "unknown %0s_ready %0d %b", EVENT, testbench.cycle, ready);
`else
        $display("FAIL: %0s: ready is %b (cycle %0d)", NAME, ready, testbench.cycle);
`endif
        testbench.how   = "unknown";
        testbench.ended = 1'b1;
      end
      passed = valid && ready === 1'b1;
      if (passed) begin
        if (begins && testbench.entered[sent/BEATS] < 0) begin
          testbench.entered[sent/BEATS] = testbench.cycle;
          testbench.since = 1;
        end
        sent = sent + 1;
        testbench.moved = 1'b1;
      end
    end
  endtask

  // After the rising edge at which it was taken.
  task drop;
    if (passed) rest;
  endtask

endmodule

`default_nettype wire
