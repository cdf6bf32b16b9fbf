`default_nettype none

// Drives stream_resmlp in a simulator of four states, and writes down every value that a tap or the output hands over.
// What is handed over may be anything at all in here, X and Z included: judging it is the reader's business.
//
// Lines of the file FOUR_STATE_EVENTS (see fxsim/simulate/four_state.py): values of tapI, of m_axis with those of
// m_axis_tlast and m_axis_tuser beside it, and at the end of the two frame_error_*, each 1 if it ever was.
//
// While nothing is offered the data lines are X, and before the reset so is everything: whoever looks at them shows it.
module four_state;

  localparam TAPS = `FOUR_STATE_TAPS;
  localparam LANES = `FOUR_STATE_LANES;            // values of a beat
  localparam INPUT_SIZE = `FOUR_STATE_INPUT_SIZE;  // beats of an image
  localparam BEATS = `FOUR_STATE_BEATS;            // beats of all images
  localparam SCORES = `FOUR_STATE_SCORES;          // beats of scores of all images
  localparam WATCHDOG = `FOUR_STATE_WATCHDOG;      // cycles without a handshake after which the design is stuck
  localparam STALL = `FOUR_STATE_STALL;            // cycles of 100 in which either side holds back
  localparam RESETS = `FOUR_STATE_RESETS;          // of one cycle, in mid-run; then all images are sent again
  localparam RESET_CYCLES = 4;
  localparam DRAIN = 256;                          // cycles in which a surplus score would come

  reg clk = 1'b0;
  reg rst = 1'b1;
  reg [8*LANES-1:0] s_axis_tdata;
  reg s_axis_tvalid = 1'b0;
  wire s_axis_tready;
  reg s_axis_tlast;
  wire [8*LANES-1:0] m_axis_tdata;
  wire m_axis_tvalid;
  reg m_axis_tready = 1'b0;
  wire m_axis_tlast;
  wire m_axis_tuser;
  wire frame_error_early;
  wire frame_error_late;
  wire [TAPS-1:0] mon_valid;
  wire [TAPS-1:0] mon_ready;
  wire [8*LANES*TAPS-1:0] mon_data;

  stream_resmlp #(`FOUR_STATE_PARAMETERS) dut (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .s_axis_tlast(s_axis_tlast),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready),
      .m_axis_tlast(m_axis_tlast),
      .m_axis_tuser(m_axis_tuser),
      .frame_error_early(frame_error_early),
      .frame_error_late(frame_error_late),
      .mon_valid(mon_valid),
      .mon_ready(mon_ready),
      .mon_data(mon_data)
  );

  reg [8*LANES-1:0] stimulus[0:BEATS-1];
  integer events;
  integer seed = 1;
  integer cycle = 0;
  integer sent = 0;
  integer scores = 0;
  integer idle = 0;
  integer i, n;
  reg ended = 1'b0;
  reg held_back = 1'b0;
  reg early = 1'b0;
  reg late = 1'b0;

  initial begin
    events = $fopen(`FOUR_STATE_EVENTS);
    $readmemh(`FOUR_STATE_STIMULUS, stimulus);
  end

  // Verilog's $random is defined by the standard: the same numbers in every simulator.
  task draw;
    output hold;
    begin
      hold = $unsigned($random(seed)) % 100 < STALL;
    end
  endtask

  always #5 clk = !clk;

  // After so many values and then so many cycles, before the last score at the latest.
  integer resets = 0;
  integer reset_beats = 0;
  integer reset_delay = 0;
  task draw_reset;
    begin
      reset_beats = $unsigned($random(seed)) % BEATS;
      reset_delay = $unsigned($random(seed)) % 32;
    end
  endtask

  reg hold;
  always @(negedge clk) begin
    rst = cycle < RESET_CYCLES;
    held_back = 1'b0;
    if (cycle == 0) draw_reset;
    if (!rst && !ended && resets < RESETS && sent >= reset_beats) begin
      if (reset_delay == 0 || scores == SCORES - 1) begin
        rst = 1'b1;
        resets = resets + 1;
        $fdisplay(events, "reset again %0d -", cycle);
        draw_reset;
        sent = 0;
        scores = 0;
        idle = 0;
        s_axis_tvalid = 1'b0;
      end else reset_delay = reset_delay - 1;
    end
    if (!rst) begin
      if (!s_axis_tvalid && sent < BEATS) begin
        draw(hold);
        s_axis_tvalid = !hold;
        held_back = hold;
      end
      s_axis_tdata = s_axis_tvalid ? stimulus[sent] : {8 * LANES{1'bx}};
      s_axis_tlast = s_axis_tvalid ? sent % INPUT_SIZE == INPUT_SIZE - 1 : 1'bx;
      draw(hold);
      m_axis_tready = !hold;
      held_back = held_back || hold;
    end
  end

  task finish;
    input [8*8-1:0] how;
    begin
      if (!ended) begin
        $fdisplay(events, "value frame_error_early %0d %b", cycle, early);
        $fdisplay(events, "value frame_error_late %0d %b", cycle, late);
        $fdisplay(events, "end %0s %0d -", how, cycle);
        $fclose(events);
        ended = 1'b1;
        $finish(0);
      end
    end
  endtask

  task check_known;
    input [8*16-1:0] name;
    input integer index;
    input value;
    begin
      if (!ended && (value === 1'bx || value === 1'bz)) begin
        if (index < 0) $fdisplay(events, "unknown %0s %0d %b", name, cycle, value);
        else $fdisplay(events, "unknown %0s[%0d] %0d %b", name, index, cycle, value);
        finish("unknown");
      end
    end
  endtask

  always @(posedge clk) begin
    if (!rst && !ended) begin
      idle = held_back ? idle : idle + 1;
      check_known("s_axis_tready", -1, s_axis_tready);
      check_known("m_axis_tvalid", -1, m_axis_tvalid);
      for (i = 0; i < TAPS; i = i + 1) begin
        check_known("mon_valid", i, mon_valid[i]);
        check_known("mon_ready", i, mon_ready[i]);
        if (!ended && mon_valid[i] && mon_ready[i]) begin
          for (n = 0; n < LANES; n = n + 1)
            $fdisplay(events, "value tap%0d %0d %b", i, cycle, mon_data[8*(LANES*i+n)+:8]);
          idle = 0;
        end
      end
      // Flags of a pulse: once high, or unknown, for ever.
      early = early | frame_error_early;
      late = late | frame_error_late;
      if (!ended && s_axis_tvalid && s_axis_tready) begin
        sent = sent + 1;
        s_axis_tvalid <= 1'b0;
        idle = 0;
      end
      if (!ended && m_axis_tvalid && m_axis_tready) begin
        // A flag is that of the beat's last value, which the others have with it.
        for (n = 0; n < LANES; n = n + 1) begin
          $fdisplay(events, "value m_axis %0d %b", cycle, m_axis_tdata[8*n+:8]);
          $fdisplay(events, "value m_axis_tlast %0d %b", cycle, n == LANES - 1 ? m_axis_tlast : 1'b0);
          $fdisplay(events, "value m_axis_tuser %0d %b", cycle, m_axis_tuser);
        end
        scores = scores + 1;
        idle = 0;
        if (scores > SCORES) finish("surplus");
      end
      if (sent == BEATS && scores == SCORES && idle >= DRAIN) finish("done");
      else if (idle >= WATCHDOG) finish("stuck");
    end
    cycle = cycle + 1;
  end

endmodule

`default_nettype wire
