`default_nettype none
`timescale 1ns / 1ps

// Made by fxsim: has a design work off jobs, one an image. Its inputs are put into memories (stimulus.hex, a word a
// line), it is started, and when it is done its outputs are compared with expected.hex and the files of taps; each tap
// that it shows is compared while it runs. It prints one line that begins with PASS or FAIL, with the first difference.
// A bit that is X or Z differs, and so does a handshake that is. What nobody has written is X.
//
// STALL: cycles of 100 in which accesses to registers and the memories behind AXI4 hold back; answers to different IDs
// then come in any order. RESETS: of one cycle each, in jobs, at random; after each of them all is done again. WAITS: a
// ready stays low until its valid is high.
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

  // What a byte of the memories is.
  localparam HELD = 1;  // it holds something
  localparam WRITABLE = 2;
  localparam WRITTEN = 4;  // by the design
  localparam SCRATCHED = 8;  // always writable
  localparam WRITING = 16;  // in this cycle
  localparam INPUT = 0, OUTPUT = 1, PARAMETER = 2, SCRATCH = 3;
  localparam START = 0, DONE = 1, WRITE = 2, READ = 3, POLL = 4, WAIT = 5;
  localparam GAP = 0, LOAD = 1, SETUP = 2, RUN = 3, LOOK = 4, DRAIN = 5;
  localparam IDLE = 0, REQUEST = 1, RESPONSE = 2;

  reg clk = 1'b0;
  reg rst = 1'b0;
  reg start = 1'b0;
  wire done;
  wire busy;
  `KIT_PORTS

  // All signals of a cycle are driven with the first, looked at with the second; reads of RAMs come with the third.
  reg driven = 1'b0;
  reg looked = 1'b0;
  reg sampled = 1'b0;
  integer changes = 0;  // of memories

  wire settled = cycle != 0 && cycle == `KIT_RESET_CYCLES - 1;  // the last cycle of a reset that has several
  reg let_go = 1'b0;  // whether readies wait for their valids no longer: what comes now has waited for them
  integer quiet = 0;  // cycles in which nothing passed

  // Every byte of the memories, one region or area behind the other.
  reg [7:0] bytes[0:`KIT_BYTES-1];
  reg [4:0] states[0:`KIT_BYTES-1];
  reg [39:0] writers[0:`KIT_BYTES-1];  // the master and the ID of a write that is not answered; 0: none
  integer written_at[0:`KIT_BYTES-1];  // the cycle of the last write
  integer areas[0:`KIT_AREAS];  // memory of an area
  reg [63:0] area_first[0:`KIT_AREAS];
  reg [63:0] area_cells[0:`KIT_AREAS];
  integer area_cell_bytes[0:`KIT_AREAS];
  integer area_offset[0:`KIT_AREAS];
  integer roles[0:`KIT_REGIONS-1];
  integer offsets[0:`KIT_REGIONS-1];  // of its first byte
  integer words[0:`KIT_REGIONS-1];
  integer word_bytes[0:`KIT_REGIONS-1];
  integer owns[0:`KIT_REGIONS-1];  // the port that leads to it inside the design; -1: it lies here
  reg [63:0] own_at[0:`KIT_REGIONS-1];
  integer own_latency[0:`KIT_OWN];
  integer own_offset[0:`KIT_OWN];
  integer own_bytes[0:`KIT_OWN];
  integer own_unit[0:`KIT_OWN];
  reg own_writes[0:`KIT_OWN];
  reg [`KIT_WORD_BITS-1:0] stimulus[0:`KIT_IMAGES*`KIT_INPUT_WORDS-1];
  reg [`KIT_WORD_BITS-1:0] shown[0:`KIT_REGIONS-1];  // a word of an output
  reg [`KIT_REGIONS-1:0] show = 0;

  // The steps: those that set up, then those of a job.
  integer acts[0:`KIT_STEPS-1];
  reg [31:0] step_address[0:`KIT_STEPS-1];
  reg [31:0] step_value[0:`KIT_STEPS-1];
  reg [31:0] step_mask[0:`KIT_STEPS-1];
  integer step_port[0:`KIT_STEPS-1];
  integer step_timeout[0:`KIT_STEPS-1];
  reg [8*80-1:0] step_name[0:`KIT_STEPS-1];
  reg [8*80-1:0] wait_name[0:`KIT_WAITS];

  integer entered[0:`KIT_IMAGES-1];  // cycle of each job's start; -1: not yet
  integer seed = 1;
  integer cycle = 0;
  integer phase = GAP;
  integer job = 0;  // the image
  integer started = 0;
  integer gap = 0;
  integer rest = 0;
  integer job_began = 0;
  integer job_cycles = 0;
  integer resets = 0;
  integer reset_jobs = 0;  // before the one in which the next reset comes
  integer reset_delay = -1;
  integer region = 0;  // that is loaded or read
  integer word = 0;
  integer look = 0;  // the region that is judged
  integer look_word = 0;
  integer at = 0;  // the step
  integer last_step = 0;
  integer waited = 0;
  integer i;
  integer k;
  integer first;
  integer events;
  integer to = 1;  // where a fault is said
  reg [31:0] nonce;
  reg ended = 1'b0;  // at the first thing that is wrong, or when all is done; whoever sets it says how, too
  reg [8*8-1:0] how = "done";
  reg moved = 1'b0;
  reg running = 1'b0;
  reg setting_up = 1'b0;
  reg set_up = 1'b0;
  reg stepping = 1'b0;
  reg held = 1'b0;
  reg starting = 1'b0;
  reg was_busy = 1'b0;
  reg done_before = 1'b1;
  reg busy_before = 1'b1;
  reg news;
  reg waits_done;

  // An access to a register.
  integer lite_state = IDLE;
  reg lite_write;
  reg address_left;
  reg data_left;
  reg answered;  // an answer waits to be taken
  integer address_delay;
  integer data_delay;
  reg [33:0] answer;  // the one that waits
  reg [31:0] got;
  reg awvalid = 1'b0;
  reg wvalid = 1'b0;
  reg arvalid = 1'b0;
  reg bready = 1'b0;
  reg rready = 1'b0;

  // Words of RAMs inside the design.
  integer way[0:64];  // regions of words that are read, by how many cycles ago; -1: none
  integer on_way = 0;
  integer read_last = 0;
  reg [`KIT_WORD_BITS-1:0] own_word;

  `KIT_STREAMS

  task area;
    input integer n, memory;
    input [63:0] from, cells;
    input integer cell_bytes, offset;
    begin
      areas[n] = memory;
      area_first[n] = from;
      area_cells[n] = cells;
      area_cell_bytes[n] = cell_bytes;
      area_offset[n] = offset;
    end
  endtask

  task lay;
    input integer n, role, offset, count, size, own;
    input [63:0] place;
    begin
      roles[n] = role;
      offsets[n] = offset;
      words[n] = count;
      word_bytes[n] = size;
      owns[n] = own;
      own_at[n] = place;
    end
  endtask

  task own_ram;
    input integer n, latency, offset, size, unit;
    input writes;
    begin
      own_latency[n] = latency;
      own_offset[n] = offset;
      own_bytes[n] = size;
      own_unit[n] = unit;
      own_writes[n] = writes;
    end
  endtask

  task step;
    input integer n, act;
    input [31:0] address, value, mask;
    input integer port, timeout;
    input [8*80-1:0] name;
    begin
      acts[n] = act;
      step_address[n] = address;
      step_value[n] = value;
      step_mask[n] = mask;
      step_port[n] = port;
      step_timeout[n] = timeout;
      step_name[n] = name;
    end
  endtask

  // A word that is missing in a file is X.
  initial begin
    `KIT_TABLES
    for (i = 0; i < `KIT_BYTES; i = i + 1) states[i] = 0;
    forget_writers;
    $readmemh("stimulus.hex", stimulus);
    $readmemh("memory.hex", bytes);
    for (i = 0; i < `KIT_REGIONS; i = i + 1) begin
      if (roles[i] == PARAMETER) mark(i, HELD, 0, 0);
      if (roles[i] == SCRATCH) mark(i, WRITABLE | SCRATCHED, 0, 0);
    end
    for (i = 0; i < `KIT_IMAGES; i = i + 1) entered[i] = -1;
`ifdef FOUR_STATE_EVENTS
    events = $fopen(`FOUR_STATE_EVENTS);
    to = events;
`endif
  end

  always #5 clk = !clk;

  // ---- What is wrong ----

  // Begins the line of a fault, which whoever calls it goes on with.
  task accuse;
    begin
`ifdef FOUR_STATE_EVENTS
      $fwrite(to, "fault ");
`else
      $fwrite(to, "FAIL: ");
      if (phase != DRAIN) $fwrite(to, "image %0d, ", job);
`endif
      how   = "wrong";
      ended = 1'b1;
    end
  endtask

  // Whether a bit is neither 0 nor 1, which is a fault.
  task refuse_unknown;
    input [8*80-1:0] name;
    input value;
    if ((value ^ value) !== 1'b0 && !ended) begin
      accuse;
      $fdisplay(to, "%0s is %b (cycle %0d)", name, value, cycle);
    end
  endtask

  // ---- Memories ----

  // The first byte of a cell, -1 where there is none.
  function integer find;
    input integer memory;
    input [63:0] cell_;
    integer n;
    begin
      find = -1;
      for (n = 0; n < `KIT_AREAS; n = n + 1)
        if (areas[n] == memory && cell_ >= area_first[n] && cell_ - area_first[n] < area_cells[n])
          find = area_offset[n] + (cell_ - area_first[n]) * area_cell_bytes[n];
    end
  endfunction

  // No write is under way.
  task forget_writers;
    integer b;
    for (b = 0; b < `KIT_BYTES; b = b + 1) begin
      writers[b] = 40'd0;
      written_at[b] = -1;
    end
  endtask

  // Sets and clears flags of a region's bytes, but for those that have one of `spare`.
  task mark;
    input integer n;
    input [4:0] set, clear, spare;
    integer b;
    for (b = offsets[n]; b < offsets[n] + words[n] * word_bytes[n]; b = b + 1)
      if ((states[b] & spare) == 0) states[b] = (states[b] & ~clear) | set;
  endtask

  // Nothing of the outputs is there, and the job's inputs are.
  task place;
    integer n, w, b, from;
    reg [`KIT_WORD_BITS-1:0] given;
    begin
      for (n = 0; n < `KIT_REGIONS; n = n + 1)
        if (roles[n] == OUTPUT) begin
          mark(n, WRITABLE, HELD | WRITTEN, 0);
          for (b = offsets[n]; b < offsets[n] + words[n] * word_bytes[n]; b = b + 1) bytes[b] = 8'hxx;
        end
      from = job * `KIT_INPUT_WORDS;
      for (n = 0; n < `KIT_REGIONS; n = n + 1)
        if (roles[n] == INPUT) begin
          for (w = 0; w < words[n]; w = w + 1) begin
            given = stimulus[from];
            if (^given === 1'bx && !ended) begin
              accuse;
              $fdisplay(to, "stimulus.hex has no word %0d (cycle %0d)", from, cycle);
            end
            for (b = 0; b < word_bytes[n]; b = b + 1) bytes[offsets[n]+w*word_bytes[n]+b] = given[8*b+:8];
            from = from + 1;
          end
          mark(n, HELD, 0, 0);
        end
      changes = changes + 1;
    end
  endtask

  // ---- Resets ----

  task draw_reset;
    reset_jobs = $unsigned($random(seed)) % `KIT_IMAGES;
  endtask

  // One cycle; all that is to come comes anew.
  task reset_now;
    begin
      rst = 1'b1;
      resets = resets + 1;
`ifdef FOUR_STATE_EVENTS
      $fdisplay(events, "reset again %0d -", cycle);
`endif
      draw_reset;
      forget_writers;
      phase = GAP;
      gap = 0;
      job = 0;
      started = 0;
      {running, setting_up, set_up, stepping, held, starting} = 6'd0;
      {done_before, busy_before} = 2'b11;
      lite_state = IDLE;
      {awvalid, wvalid, arvalid, bready, rready} = 5'd0;
      reset_delay = -1;
      for (i = 0; i < `KIT_IMAGES; i = i + 1) entered[i] = -1;
    end
  endtask

  // ---- Registers: one access after the other ----

  assign s_axil_awvalid = awvalid;
  assign s_axil_awaddr = awvalid ? {32'd0, step_address[at]} : 64'bx;
  assign s_axil_awprot = 3'd0;
  assign s_axil_wvalid = wvalid;
  assign s_axil_wdata = wvalid ? step_value[at] : 32'bx;
  assign s_axil_wstrb = wvalid ? 4'hf : 4'bx;
  assign s_axil_bready = bready;
  assign s_axil_arvalid = arvalid;
  assign s_axil_araddr = arvalid ? {32'd0, step_address[at]} : 64'bx;
  assign s_axil_arprot = 3'd0;
  assign s_axil_rready = rready;

  function integer delayed;
    input integer dummy;
    delayed = STALL == 0 ? 0 : $unsigned($random(seed)) % 4;
  endfunction

  task begin_access;
    begin
      lite_state = REQUEST;
      lite_write = acts[at] == WRITE;
      address_left = 1'b1;
      data_left = lite_write;
      answered = 1'b0;
      address_delay = delayed(0);
      data_delay = delayed(0);
    end
  endtask

  task drive_registers;
    begin
      {awvalid, wvalid, arvalid, bready, rready} = 5'd0;
      if (lite_state == REQUEST) begin
        awvalid = lite_write && address_left && address_delay == 0;
        arvalid = !lite_write && address_left && address_delay == 0;
        wvalid  = data_left && data_delay == 0;
        if (address_delay != 0) address_delay = address_delay - 1;
        if (data_delay != 0) data_delay = data_delay - 1;
      end else if (lite_state == RESPONSE) begin
        bready = lite_write && delayed(0) == 0 && (WAITS == 0 || let_go || answered);
        rready = !lite_write && delayed(0) == 0 && (WAITS == 0 || let_go || answered);
      end
    end
  endtask

  task accuse_registers;
    input [8*40-1:0] what;
    if (!ended) begin
      accuse;
      $fdisplay(to, "%0s: %0s (cycle %0d)", stepping ? step_name[at] : "registers", what, cycle);
    end
  endtask

  task observe_registers;
    begin
      refuse_unknown("awready", s_axil_awready);
      refuse_unknown("wready", s_axil_wready);
      refuse_unknown("bvalid", s_axil_bvalid);
      refuse_unknown("arready", s_axil_arready);
      refuse_unknown("rvalid", s_axil_rvalid);
      if (!ended) begin
        if (lite_state != RESPONSE && (s_axil_bvalid || s_axil_rvalid)) accuse_registers("answer before the access");
        if (lite_state == RESPONSE) begin
          if (lite_write ? s_axil_rvalid : s_axil_bvalid) accuse_registers("answer on the wrong channel");
          if (let_go && !answered && (lite_write ? s_axil_bvalid : s_axil_rvalid))
            accuse_registers("valid waits for ready");
          if (answered && !(lite_write ? s_axil_bvalid : s_axil_rvalid)) accuse_registers("valid withdrawn");
          if (answered && answer !== (lite_write ? {32'd0, s_axil_bresp} : {s_axil_rdata, s_axil_rresp}))
            accuse_registers("payload changed while waiting");
          answer = lite_write ? {32'd0, s_axil_bresp} : {s_axil_rdata, s_axil_rresp};
          answered = lite_write ? s_axil_bvalid : s_axil_rvalid;
          if (lite_write ? s_axil_bvalid && bready : s_axil_rvalid && rready) begin
            if (answer[1:0] !== 2'd0) accuse_registers("it is not answered OKAY");
            got = s_axil_rdata;
            lite_state = IDLE;
          end
        end
        if (lite_state == REQUEST) begin
          if ((awvalid && s_axil_awready) || (arvalid && s_axil_arready)) address_left = 1'b0;
          if (wvalid && s_axil_wready) data_left = 1'b0;
          if (!address_left && !data_left) lite_state = RESPONSE;
        end
      end
    end
  endtask

  // ---- RAMs inside the design, a word a cycle ----

  task rest_own;
    begin
      own_enable = 0;
      own_write = 0;
      own_address = {64 * (`KIT_OWN + 1) {1'bx}};
      own_wdata = {8 * `KIT_OWN_BYTES{1'bx}};
    end
  endtask

  // Goes on to the next word of those regions inside that `wanted` says; no further than their number.
  task next_own;
    input looks;
    begin
      while (region < `KIT_REGIONS && !(owns[region] >= 0 && word < words[region] &&
             (looks ? roles[region] == OUTPUT : own_writes[owns[region]]))) begin
        region = region + 1;
        word = 0;
      end
    end
  endtask

  // Outputs are overwritten with X, and parameters and inputs written.
  task drive_own;
    input looks;
    begin
      next_own(looks);
      if (region < `KIT_REGIONS && (on_way == 0 || (looks && owns[region] == owns[read_last]))) begin
        k = owns[region];
        own_enable[k] = 1'b1;
        own_address[64*k+:64] = (own_at[region] + word) * own_unit[k];
        if (!looks) begin
          own_write[k] = 1'b1;
          own_word = {`KIT_WORD_BITS{1'bx}};
          for (i = 0; i < word_bytes[region]; i = i + 1)
            own_word[8*i+:8] = bytes[offsets[region]+word*word_bytes[region]+i];
          for (i = 0; i < own_bytes[k]; i = i + 1) own_wdata[8*(own_offset[k]+i)+:8] = own_word[8*i+:8];
        end
      end
    end
  endtask

  // The word that a read of some cycles ago gives, and the read of this cycle.
  task show_own;
    begin
      // A read of this cycle is the youngest.
      for (i = 64; i > 0; i = i - 1) way[i] = way[i-1];
      way[0] = own_enable != 0 && own_write == 0 ? region : -1;
      if (way[0] >= 0) begin
        on_way = on_way + 1;
        read_last = region;
      end
      for (i = 0; i < 65; i = i + 1)
        if (way[i] >= 0)
          if (own_latency[owns[way[i]]] == i) begin
            show[way[i]] = 1'b1;
            k = owns[way[i]];
            shown[way[i]] = own_rdata >> 8 * own_offset[k];
            on_way = on_way - 1;
            way[i] = -1;
          end
      if (own_enable != 0) word = word + 1;
    end
  endtask

  // ---- Jobs ----

  task begin_steps;
    input integer from, count;
    begin
      at = from;
      last_step = from + count;
      enter;
    end
  endtask

  task enter;
    begin
      waited   = 0;
      stepping = at < last_step;
      if (stepping) if (acts[at] == WRITE || acts[at] == READ || acts[at] == POLL) begin_access;
    end
  endtask

  task next;
    begin
      at = at + 1;
      enter;
    end
  endtask

  task begin_job;
    begin
      entered[job] = cycle;
      started = started + 1;
    end
  endtask

  task run_job;
    begin
      phase = RUN;
      running = 1'b1;
      job_began = cycle;
      reset_delay = -1;
      if (resets < RESETS) begin
        if (reset_jobs != 0) reset_jobs = reset_jobs - 1;
        else
          reset_delay = $unsigned($random(seed)) %
              (job_cycles == 0 || $unsigned($random(seed)) % 4 == 0 ? 16 : job_cycles);
      end
      begin_steps(`KIT_SETUP_STEPS, `KIT_STEPS - `KIT_SETUP_STEPS);
      // A job without a start of its own begins with its first step.
      if (acts[at] != START) begin_job;
    end
  endtask

  // The next word of the outputs that lie here; what the design has not written is X.
  task show_output;
    begin
      while (look < `KIT_REGIONS && !(roles[look] == OUTPUT && owns[look] < 0 && look_word < words[look])) begin
        look = look + 1;
        look_word = 0;
      end
      if (look < `KIT_REGIONS) begin
        show[look]  = 1'b1;
        shown[look] = {`KIT_WORD_BITS{1'bx}};
        for (k = 0; k < word_bytes[look]; k = k + 1) begin
          first = offsets[look] + look_word * word_bytes[look] + k;
          shown[look][8*k+:8] = (states[first] & WRITTEN) != 0 ? bytes[first] : 8'hxx;
        end
        look_word = look_word + 1;
      end
    end
  endtask

  task advance;
    begin
      show = 0;
      case (phase)
        GAP:
        if (gap == 0) begin
          place;
          phase = LOAD;
          region = 0;
          word = 0;
        end else gap = gap - 1;
        LOAD: begin
          next_own(1'b0);
          if (region == `KIT_REGIONS) begin
            if (set_up) run_job;
            else begin
              phase = SETUP;
              setting_up = 1'b1;
              begin_steps(0, `KIT_SETUP_STEPS);
            end
          end
        end
        SETUP:
        if (!stepping) begin
          set_up = 1'b1;
          setting_up = 1'b0;
          run_job;
        end
        RUN:
        if (!stepping) begin
          running = 1'b0;
          job_cycles = cycle - job_began + 1;
          if (!(`KIT_TRANSFERS_DONE)) begin
            accuse;
            $fdisplay(to, "done with transfers under way (cycle %0d)", cycle);
          end
          if (resets < RESETS && job + 1 == `KIT_IMAGES) reset_now;
          else begin
            for (i = 0; i < `KIT_REGIONS; i = i + 1) if (roles[i] == OUTPUT) mark(i, 0, WRITABLE, SCRATCHED);
            phase = LOOK;
            look = 0;
            look_word = 0;
            region = 0;
            word = 0;
          end
        end
        LOOK: begin
          next_own(1'b1);
          if (look == `KIT_REGIONS && region == `KIT_REGIONS && on_way == 0) begin
            job   = job + 1;
            gap   = STALL == 0 ? 0 : $unsigned($random(seed)) % 16;
            phase = job == `KIT_IMAGES ? DRAIN : GAP;
            rest  = 0;
          end
        end
        default: rest = rest + 1;
      endcase
      if (phase == LOOK) show_output;
    end
  endtask

  task drive;
    begin
      rest_own;
      if (phase == LOAD) drive_own(1'b0);
      if (phase == LOOK) drive_own(1'b1);
      drive_registers;
      start = held;
      starting = 1'b0;
      if (stepping)
        if (acts[at] == START && !(`KIT_HAS_BUSY && busy_before)) begin
          starting = 1'b1;
          start = 1'b1;
          begin_job;
        end
    end
  endtask

  // Goes on where a step has ended.
  task observe;
    begin
      moved = 1'b0;
      if (`KIT_HAS_DONE) refuse_unknown("done", done);
      if (`KIT_HAS_BUSY) refuse_unknown("busy", busy);
      for (i = 0; i < `KIT_WAITS; i = i + 1) refuse_unknown(wait_name[i], waits[i]);
      if (`KIT_HAS_REGISTERS) observe_registers;
    end
  endtask

  task accuse_control;
    input [8*40-1:0] what;
    if (!ended) begin
      accuse;
      $fdisplay(to, "%0s (cycle %0d)", what, cycle);
    end
  endtask

  task control;
    begin
      // A level that is high since the last job is none of this one.
      news = `KIT_HAS_DONE && done && !(`KIT_DONE_LEVEL && done_before);
      waits_done = 1'b0;
      if (stepping) waits_done = acts[at] == DONE;
      if (news && !waits_done) accuse_control("done without a job");
      if (`KIT_HAS_BUSY && busy && !busy_before && !waits_done && !starting) accuse_control("busy without a job");
      if (starting) begin
        held = `KIT_START_LEVEL;
        was_busy = `KIT_HAS_BUSY && busy;
        moved = 1'b1;
        next;
      end else if (waits_done) begin
        was_busy = was_busy || (`KIT_HAS_BUSY && busy);
        if (news) begin
          if (`KIT_HAS_BUSY && !was_busy) accuse_control("busy never high in a job");
          held  = 1'b0;
          moved = 1'b1;
          next;
        end
      end else if (stepping)
        case (acts[at])
          START: ;
          WAIT:
          if (waits[step_port[at]]) begin
            moved = 1'b1;
            next;
          end
          default:
          if (lite_state == IDLE) begin
            if (acts[at] == WRITE || (got & step_mask[at]) === step_value[at]) begin
              moved = 1'b1;
              next;
            end else if ((^(got & step_mask[at]) === 1'bx) || acts[at] == READ) begin
              accuse;
              $fdisplay(to, "%0s is %h, expected %h (cycle %0d)", step_name[at], got & step_mask[at], step_value[at],
                        cycle);
            end else begin_access;
          end
        endcase
      done_before = `KIT_HAS_DONE ? done : 1'b0;
      busy_before = `KIT_HAS_BUSY ? busy : 1'b0;
      waited = waited + 1;
      quiet  = moved ? 0 : quiet + 1;
      if (!ended && !moved && stepping && waited >= step_timeout[at]) begin
        if (WAITS != 0 && !let_go && quiet >= (step_timeout[at] < 1000 ? step_timeout[at] / 2 : 500)) begin
          // What comes once ready is high has waited for it.
          let_go = 1'b1;
          waited = waited - quiet;
        end else begin
          accuse;
          $fdisplay(to, "no end of '%0s' in %0d cycles (cycle %0d)", step_name[at], waited, cycle);
        end
      end
    end
  endtask

  // Signals change at the falling edge, and are looked at just before the rising one.
  always @(negedge clk)
    if (!ended) begin
      if (cycle == 0) begin
        draw_reset;
        rest_own;
        for (i = 0; i < 65; i = i + 1) way[i] = -1;
      end
      rst = cycle < `KIT_RESET_CYCLES;
      if (!rst && phase == RUN && reset_delay >= 0) begin
        if (reset_delay == 0) reset_now;
        else reset_delay = reset_delay - 1;
      end
      if (!rst) advance;
      if (!rst) drive;
      else begin
        start = 1'b0;
        show = 0;
        rest_own;
        on_way = 0;
        for (i = 0; i < 65; i = i + 1) way[i] = -1;
      end
      driven = !driven;
      #3.8;
      if (!rst) show_own;
      #0.2 looked = !looked;
      #0.2 sampled = !sampled;
      #0.3;
      if (!rst && !ended) begin
        observe;
        if (!ended) control;
      end
      if (!rst && !ended && phase == DRAIN && rest >= `KIT_DRAIN) begin
        if (`KIT_HAS_BUSY && busy) accuse_control("busy stays high after the last job");
        else if (!whole) begin
`ifndef FOUR_STATE_EVENTS
          $display("FAIL: %0d of %0d beats of the output came, %0d of %0d taps gave all of theirs (cycle %0d)", out.taken,
                   out.ALL, whole_taps, `KIT_TAPS, cycle);
`endif
        end else begin
`ifndef FOUR_STATE_EVENTS
          $display("PASS: %0d images, %0d beats equal", `KIT_IMAGES, compared);
          if ($value$plusargs("nonce=%d", nonce))
            $display("KIT %0d PASS: %0d images, %0d beats equal", nonce, `KIT_IMAGES, compared);
`endif
        end
        ended = 1'b1;
      end
      if (ended) begin
`ifdef FOUR_STATE_EVENTS
        $fdisplay(events, "end %0s %0d -", how, cycle);
        $fclose(events);
`endif
        $finish(0);
      end
      cycle = cycle + 1;
    end

endmodule

// A RAM's port: what is written is there after the clock's edge. A word that is written and read in one cycle reads as X.
module kit_ram #(
    parameter NAME = "",
    parameter MEMORY = 0,
    parameter WORD_BYTES = 1,
    parameter LATENCY = 1,
    parameter UNIT = 1,
    parameter READS = 0,
    parameter WRITES = 0,
    parameter CHECKED = 0
) (
    input wire clk,
    input wire [63:0] address,
    input wire enable,
    input wire [WORD_BYTES-1:0] strobe,
    input wire [8*WORD_BYTES-1:0] d,
    output wire [8*WORD_BYTES-1:0] q
);

  reg [8*WORD_BYTES-1:0] stages[0:LATENCY];  // on their way, the youngest first
  reg [8*WORD_BYTES-1:0] next;
  reg [8*WORD_BYTES-1:0] data;
  reg [8*WORD_BYTES-1:0] found;
  reg [WORD_BYTES-1:0] strobed;
  reg reads = 1'b0;
  reg writes = 1'b0;
  reg holds;
  integer at;
  integer cell_;
  integer i;

  assign q = stages[LATENCY==0?0 : LATENCY-1];

  task locate;
    begin
      at = -1;
      if (^address !== 1'bx)
        if (address % UNIT == 0) at = testbench.find(MEMORY, address / UNIT);
    end
  endtask

  // What a read finds: X where nothing lies, and where it is being written.
  task look_up;
    begin
      locate;
      found = {8 * WORD_BYTES{1'bx}};
      holds = at >= 0;
      for (i = 0; i < WORD_BYTES && at >= 0; i = i + 1) begin
        if ((testbench.states[at+i] & testbench.HELD) == 0) holds = 1'b0;
      end
      if (holds) for (i = 0; i < WORD_BYTES; i = i + 1) found[8*i+:8] = testbench.bytes[at+i];
    end
  endtask

  task accuse;
    input [8*60-1:0] what;
    if (!testbench.ended) begin
      testbench.accuse;
      $fdisplay(testbench.to, "ram %0s: %0s, address 0x%h (cycle %0d)", NAME, what, address, testbench.cycle);
    end
  endtask

  always @(testbench.looked) begin
    writes = 1'b0;
    if (!testbench.rst && !testbench.ended) begin
      if ((enable ^ enable) !== 1'b0) accuse("its enable is unknown");
      else if (WRITES && enable) begin
        if (^strobe === 1'bx) accuse("its write enable is unknown");
        else if (strobe != 0) begin
          locate;
          if (^address === 1'bx) accuse("a write to an unknown address");
          else if (at < 0)
            accuse(address % UNIT == 0 ? "write outside every region" : "address is no multiple of a word");
          else begin
            cell_ = at;
            writes = 1'b1;
            data = d;
            strobed = strobe;
            for (i = 0; i < WORD_BYTES; i = i + 1) begin
              if ((testbench.states[at+i] & testbench.WRITABLE) == 0)
                accuse(testbench.running ? "write into what is only read" : "write without a job");
              if (strobe[i] && (testbench.states[at+i] & testbench.WRITING) != 0)
                accuse("two writes of a word in one cycle");
              if (strobe[i]) testbench.states[at+i] = testbench.states[at+i] | testbench.WRITING;
            end
          end
        end
      end
    end
  end

  always @(testbench.sampled) begin
    reads = 1'b0;
    next  = {8 * WORD_BYTES{1'bx}};
    if (READS && !testbench.rst && !testbench.ended && enable) begin
      look_up;
      reads = 1'b1;
      if (CHECKED && !writes && !holds)
        accuse(
            ^address === 1'bx ? "a read from an unknown address" :
            at >= 0 ? "read of a word that nothing was written to" :
            address % UNIT == 0 ? "read outside every region" : "address is no multiple of a word");
      if (!writes) next = found;
      for (i = 0; i < WORD_BYTES && at >= 0; i = i + 1)
        if ((testbench.states[at+i] & testbench.WRITING) != 0) next = {8 * WORD_BYTES{1'bx}};
    end
  end

  always @(posedge clk) begin
    #0.1;
    if (LATENCY != 0 && READS) begin
      for (i = LATENCY - 1; i > 0; i = i - 1) stages[i] = stages[i-1];
      if (reads) stages[0] = next;
    end
    if (writes) begin
      for (i = 0; i < WORD_BYTES; i = i + 1)
        if (strobed[i]) begin
          testbench.bytes[cell_+i]  = data[8*i+:8];
          testbench.states[cell_+i] = (testbench.states[cell_+i] | 5'd5) & ~5'd16;
        end
      testbench.changes = testbench.changes + 1;
    end
  end

  // Without a register data follows the address within the cycle.
  generate
    if (LATENCY == 0) begin : combinational
      always @(address or testbench.changes) begin
        look_up;
        stages[0] = found;
      end
    end
  endgenerate

endmodule

// The memory behind an AXI4 master: bursts are answered LATENCY cycles after they were asked for, with stalls those of
// different IDs in any order, beat by beat. NUMBER is the master's, from 1 on.
module kit_axi4 #(
    parameter AR = "",
    parameter AW = "",
    parameter W = "",
    parameter MEMORY = 0,
    parameter BYTES = 4,
    parameter LATENCY = 1,
    parameter READS = 1,
    parameter WRITES = 1,
    parameter CHECKED = 1,
    parameter SEED = 1,
    parameter NUMBER = 1
) (
    input wire [31:0] arid,
    input wire [63:0] araddr,
    input wire [7:0] arlen,
    input wire [7:0] arsize,
    input wire [7:0] arburst,
    input wire [7:0] arlock,
    input wire [7:0] arvalid,
    output wire [7:0] arready,
    output wire [31:0] rid,
    output wire [8*BYTES-1:0] rdata,
    output wire [7:0] rresp,
    output wire [7:0] rlast,
    output wire [7:0] rvalid,
    input wire [7:0] rready,
    input wire [31:0] awid,
    input wire [63:0] awaddr,
    input wire [7:0] awlen,
    input wire [7:0] awsize,
    input wire [7:0] awburst,
    input wire [7:0] awlock,
    input wire [7:0] awvalid,
    output wire [7:0] awready,
    input wire [8*BYTES-1:0] wdata,
    input wire [BYTES-1:0] wstrb,
    input wire [7:0] wlast,
    input wire [7:0] wvalid,
    output wire [7:0] wready,
    output wire [31:0] bid,
    output wire [7:0] bresp,
    output wire [7:0] bvalid,
    input wire [7:0] bready
);

  localparam DEPTH = 32;
  localparam FIXED = 0, INCR = 1, WRAP = 2;

  // Bursts that are under way, each with its next address: of reads, of writes whose data are not complete, and of those
  // that are to be answered; data that came before their address.
  reg [63:0] r_at[0:DEPTH-1], r_start[0:DEPTH-1];
  reg [31:0] r_id[0:DEPTH-1];
  reg [8:0] r_left[0:DEPTH-1], r_beats[0:DEPTH-1];
  reg [2:0] r_size[0:DEPTH-1];
  reg [1:0] r_kind[0:DEPTH-1];
  integer r_due[0:DEPTH-1];
  integer r_asked[0:DEPTH-1];
  integer r_now = 0, b_now = 0;  // the burst of the beat, and of the answer, that is offered
  reg [63:0] w_at[0:DEPTH-1], w_start[0:DEPTH-1];
  reg [31:0] w_id[0:DEPTH-1];
  reg [8:0] w_left[0:DEPTH-1], w_beats[0:DEPTH-1];
  reg [2:0] w_size[0:DEPTH-1];
  reg [1:0] w_kind[0:DEPTH-1];
  reg [31:0] b_id[0:DEPTH-1];
  reg [1:0] b_answer[0:DEPTH-1];
  integer b_due[0:DEPTH-1];
  integer b_complete[0:DEPTH-1];
  reg b_done[0:DEPTH-1];
  reg [63:0] b_start[0:DEPTH-1];
  reg [8:0] b_beats[0:DEPTH-1];
  reg [2:0] b_size[0:DEPTH-1];
  reg [1:0] b_kind[0:DEPTH-1];
  reg [8*BYTES-1:0] d_data[0:DEPTH-1];
  reg [BYTES-1:0] d_strobe[0:DEPTH-1];
  reg d_last[0:DEPTH-1];
  integer r_head = 0, r_tail = 0, w_head = 0, w_tail = 0, b_head = 0, b_tail = 0, d_head = 0, d_tail = 0;
  wire idle = r_head == r_tail && w_head == w_tail && b_head == b_tail && d_head == d_tail;

  reg ar_ready = 1'b0, aw_ready = 1'b0, w_ready = 1'b0;
  reg r_valid = 1'b0, b_valid = 1'b0, r_last;
  reg r_taken = 1'b0, b_taken = 1'b0;  // in this cycle
  reg [31:0] r_of, b_of;
  reg [8*BYTES-1:0] r_data;
  reg [1:0] r_answer, b_said;
  assign {arready, awready, wready} = {7'd0, ar_ready, 7'd0, aw_ready, 7'd0, w_ready};
  assign {rvalid, rlast, bvalid} = {7'd0, r_valid, 7'd0, r_last, 7'd0, b_valid};
  assign {rresp, bresp} = {6'd0, r_answer, 6'd0, b_said};
  assign rid = r_of;
  assign bid = b_of;
  assign rdata = r_data;

  integer seed = SEED;
  integer i;
  integer cell_;
  reg outside = 1'b0;  // the burst that is being written to
  reg holds, there, writing;
  reg [63:0] byte_, end_;
  reg [126:0] ar_kept, aw_kept;
  reg [9*BYTES:0] w_kept;
  reg ar_waits = 1'b0, aw_waits = 1'b0, w_waits = 1'b0;
  wire [126:0] ar_said = {arid, araddr, arlen, arsize, arburst, arlock[6:0]};
  wire [126:0] aw_said = {awid, awaddr, awlen, awsize, awburst, awlock[6:0]};
  wire [9*BYTES:0] w_said = {wdata, wstrb, wlast[0]};

  task accuse;
    input [8*16-1:0] side;
    input [8*60-1:0] what;
    input [63:0] place;
    if (!testbench.ended) begin
      testbench.accuse;
      if (side == "ar") $fwrite(testbench.to, "%0s", AR);
      else if (side == "aw") $fwrite(testbench.to, "%0s", AW);
      else $fwrite(testbench.to, "%0s", W);
      $fdisplay(testbench.to, ": %0s, address 0x%h (cycle %0d)", what, place, testbench.cycle);
    end
  endtask

  // Whether a channel holds back in this cycle.
  function holding;
    input integer dummy;
    holding = $unsigned($random(seed)) % 100 < testbench.STALL;
  endfunction

  // With WAITS a ready comes once its valid has waited.
  function may_be_ready;
    input waits;
    may_be_ready = testbench.WAITS == 0 || testbench.let_go || waits;
  endfunction

  function [63:0] next_address;
    input [63:0] from, origin;
    input [2:0] size;
    input [1:0] kind;
    input [8:0] beats;
    reg [63:0] whole, low;
    begin
      next_address = ((from >> size) + 1) << size;
      whole = {55'd0, beats} << size;
      low = origin / whole * whole;
      if (kind == FIXED) next_address = from;
      if (kind == WRAP && next_address == low + whole) next_address = low;
    end
  endfunction

  task check_burst;
    input [8*16-1:0] side;
    input [63:0] from;
    input [7:0] len, size, kind, lock;
    reg [63:0] beat;
    begin
      beat = 64'd1 << size;
      if (!testbench.running && !testbench.setting_up) accuse(side, "request without a job", from);
      if (size > 7 || beat > BYTES) accuse(side, "burst with beats wider than the data", from);
      if (kind > WRAP) accuse(side, "burst of a kind that is none", from);
      if (kind == FIXED && len > 15) accuse(side, "FIXED burst of more than 16 beats", from);
      if (kind == WRAP && (len != 1 && len != 3 && len != 7 && len != 15))
        accuse(side, "WRAP burst of other than 2, 4, 8 or 16 beats", from);
      if (kind == WRAP && from % beat != 0) accuse(side, "WRAP burst from within a beat", from);
      if (kind == INCR && from / beat * beat % 4096 + beat * (len + 1) > 4096) accuse(side, "burst crosses 4 KiB", from);
      if (lock != 0) accuse(side, "locked access", from);
    end
  endtask

  // The next of the bursts from `head` to `tail` to be answered, -1 where none is due: the first, or with stalls any that
  // none of its ID is before.
  function integer pick;
    input reads;
    integer n, m, left;
    reg free;
    begin
      pick = -1;
      left = testbench.STALL == 0 ? 0 : $unsigned($random(seed)) % 4;
      for (n = reads ? r_head : b_head; n < (reads ? r_tail : b_tail) && (pick < 0 || left > 0); n = n + 1) begin
        free = reads ? r_left[n%DEPTH] != 0 && r_due[n%DEPTH] <= testbench.cycle :
            !b_done[n%DEPTH] && b_due[n%DEPTH] <= testbench.cycle;
        for (m = reads ? r_head : b_head; m < n; m = m + 1)
          if (reads ? r_left[m%DEPTH] != 0 && (r_id[m%DEPTH] == r_id[n%DEPTH] || testbench.STALL == 0) :
              !b_done[m%DEPTH] && (b_id[m%DEPTH] == b_id[n%DEPTH] || testbench.STALL == 0))
            free = 1'b0;
        if (free) begin
          if (pick >= 0) left = left - 1;
          pick = n;
        end
      end
    end
  endfunction

  // Whether a byte of a burst that is asked for is being written.
  task look_ahead;
    input [63:0] from;
    input [8:0] beats;
    input [2:0] size;
    input [1:0] kind;
    integer n;
    reg [63:0] start;
    begin
      start = from;
      for (n = 0; n < beats && !testbench.ended; n = n + 1) begin
        byte_ = start;
        end_ = ((byte_ >> size) + 1) << size;
        while (byte_ != end_) begin
          cell_ = testbench.find(MEMORY, byte_);
          if (cell_ >= 0)
            if (testbench.writers[cell_] != 0) accuse("ar", "read of bytes that are being written", byte_);
          byte_ = byte_ + 1;
        end
        start = next_address(start, from, size, kind, beats);
      end
    end
  endtask

  // The bytes of a write that is answered are free, but for those that were written again since.
  task release_bytes;
    input integer n;
    integer beat;
    reg [63:0] start;
    begin
      start = b_start[n%DEPTH];
      for (beat = 0; beat < b_beats[n%DEPTH]; beat = beat + 1) begin
        byte_ = start;
        end_ = ((byte_ >> b_size[n%DEPTH]) + 1) << b_size[n%DEPTH];
        while (byte_ != end_) begin
          cell_ = testbench.find(MEMORY, byte_);
          if (cell_ >= 0)
            if (testbench.writers[cell_] == {NUMBER[7:0], b_id[n%DEPTH]} &&
                testbench.written_at[cell_] <= b_complete[n%DEPTH])
              testbench.writers[cell_] = 40'd0;
          byte_ = byte_ + 1;
        end
        start = next_address(start, b_start[n%DEPTH], b_size[n%DEPTH], b_kind[n%DEPTH], b_beats[n%DEPTH]);
      end
    end
  endtask

  // The next beat of a burst that is read: X on lanes that are not its own, and where nothing lies.
  task give;
    begin
      r_data = {8 * BYTES{1'bx}};
      holds = 1'b0;
      there = 1'b0;
      writing = 1'b0;
      byte_ = r_at[r_now%DEPTH];
      end_ = ((byte_ >> r_size[r_now%DEPTH]) + 1) << r_size[r_now%DEPTH];
      while (byte_ != end_) begin
        cell_ = testbench.find(MEMORY, byte_);
        if (cell_ >= 0) begin
          there = 1'b1;
          if ((testbench.states[cell_] & testbench.HELD) != 0) begin
            holds = 1'b1;
            writing = writing || testbench.written_at[cell_] >= r_asked[r_now%DEPTH];
            r_data[8*(byte_%BYTES)+:8] = testbench.bytes[cell_];
          end
        end
        byte_ = byte_ + 1;
      end
      r_answer = CHECKED && !there ? 2'd3 : 2'd0;
      if (CHECKED && !holds)
        accuse("ar", there ? "read of bytes that nothing was written to" : "read outside every region",
               r_at[r_now%DEPTH]);
      if (writing) accuse("ar", "read of bytes that are being written", r_at[r_now%DEPTH]);
    end
  endtask

  // The next beat of a burst that is written.
  task put;
    begin
      byte_ = w_at[w_head%DEPTH];
      end_ = ((byte_ >> w_size[w_head%DEPTH]) + 1) << w_size[w_head%DEPTH];
      for (i = 0; i < BYTES; i = i + 1)
        if (d_strobe[d_head%DEPTH][i] && (i < byte_ % BYTES || i >= byte_ % BYTES + (end_ - byte_)))
          accuse("w", "strobe outside of the beat", byte_);
      while (byte_ != end_) begin
        cell_ = testbench.find(MEMORY, byte_);
        if (d_strobe[d_head%DEPTH][byte_%BYTES]) begin
          if (cell_ < 0) begin
            accuse("w", "write outside every region", byte_);
            outside = 1'b1;
          end else if ((testbench.states[cell_] & testbench.WRITABLE) == 0)
            accuse("w", testbench.running ? "write into what is only read" : "write without a job", byte_);
          else begin
            if (testbench.writers[cell_] != 0 && testbench.writers[cell_] != {NUMBER[7:0], w_id[w_head%DEPTH]})
              accuse("w", "two writes of a byte under way", byte_);
            testbench.bytes[cell_] = d_data[d_head%DEPTH][8*(byte_%BYTES)+:8];
            testbench.states[cell_] = testbench.states[cell_] | 5'd5;
            testbench.writers[cell_] = {NUMBER[7:0], w_id[w_head%DEPTH]};
            testbench.written_at[cell_] = testbench.cycle;
          end
        end
        byte_ = byte_ + 1;
      end
    end
  endtask

  task match;
    while (w_head != w_tail && d_head != d_tail && !testbench.ended) begin
      if (d_last[d_head%DEPTH] != (w_left[w_head%DEPTH] == 1))
        accuse("w", d_last[d_head%DEPTH] ? "wlast too early" : "wlast missing", w_start[w_head%DEPTH]);
      put;
      d_head = d_head + 1;
      w_at[w_head%DEPTH] = next_address(w_at[w_head%DEPTH], w_start[w_head%DEPTH], w_size[w_head%DEPTH],
                                        w_kind[w_head%DEPTH], w_beats[w_head%DEPTH]);
      w_left[w_head%DEPTH] = w_left[w_head%DEPTH] - 9'd1;
      if (w_left[w_head%DEPTH] == 0) begin
        b_id[b_tail%DEPTH] = w_id[w_head%DEPTH];
        b_answer[b_tail%DEPTH] = outside ? 2'd3 : 2'd0;
        b_due[b_tail%DEPTH] = testbench.cycle + LATENCY;
        b_complete[b_tail%DEPTH] = testbench.cycle;
        b_done[b_tail%DEPTH] = 1'b0;
        b_start[b_tail%DEPTH] = w_start[w_head%DEPTH];
        b_beats[b_tail%DEPTH] = w_beats[w_head%DEPTH];
        b_size[b_tail%DEPTH] = w_size[w_head%DEPTH];
        b_kind[b_tail%DEPTH] = w_kind[w_head%DEPTH];
        b_tail = b_tail + 1;
        w_head = w_head + 1;
        outside = 1'b0;
      end
    end
  endtask

  always @(testbench.driven)
    if (testbench.rst) begin
      {ar_ready, aw_ready, w_ready, ar_waits, aw_waits, w_waits, outside} = 7'd0;
      {r_valid, b_valid, r_taken, b_taken} = 4'd0;
      r_head = r_tail;
      w_head = w_tail;
      b_head = b_tail;
      d_head = d_tail;
    end else begin
      if (r_taken) r_valid = 1'b0;
      if (b_taken) b_valid = 1'b0;
      {r_taken, b_taken} = 2'd0;
      ar_ready = READS && !holding(0) && r_tail - r_head < DEPTH && may_be_ready(ar_waits);
      aw_ready = WRITES && !holding(0) && (w_tail - w_head) + (b_tail - b_head) < DEPTH && may_be_ready(aw_waits);
      w_ready  = WRITES && !holding(0) && d_tail - d_head < DEPTH && may_be_ready(w_waits);
      // While nothing is offered nobody may look at what would be.
      if (!r_valid) begin
        r_of = 32'bx;
        r_data = {8 * BYTES{1'bx}};
        r_answer = 2'bx;
        r_last = 1'bx;
        r_now = pick(1'b1);
        if (r_now >= 0)
          if (!holding(0)) begin
            give;
            r_valid = 1'b1;
            r_of = r_id[r_now%DEPTH];
            r_last = r_left[r_now%DEPTH] == 1;
          end
      end
      if (!b_valid) begin
        b_of   = 32'bx;
        b_said = 2'bx;
        b_now  = pick(1'b0);
        if (b_now >= 0)
          if (!holding(0)) begin
            b_valid = 1'b1;
            b_of = b_id[b_now%DEPTH];
            b_said = b_answer[b_now%DEPTH];
          end
      end
    end

  always @(testbench.looked)
    if (testbench.rst) begin
      // By then every register has been set right that a reset sets.
      if (testbench.settled && READS && arvalid[0] === 1'b1) accuse("ar", "valid set during reset", araddr);
      if (testbench.settled && WRITES && awvalid[0] === 1'b1) accuse("aw", "valid set during reset", awaddr);
      if (testbench.settled && WRITES && wvalid[0] === 1'b1) accuse("w", "valid set during reset", 64'bx);
    end else if (!testbench.ended) begin
      if (testbench.let_go) begin
        if (READS && arvalid[0] === 1'b1 && !ar_waits) accuse("ar", "valid waits for ready", araddr);
        if (WRITES && awvalid[0] === 1'b1 && !aw_waits) accuse("aw", "valid waits for ready", awaddr);
        if (WRITES && wvalid[0] === 1'b1 && !w_waits) accuse("w", "valid waits for ready", 64'bx);
      end
      if (READS && !testbench.ended) begin
        if (^{arvalid[0], rready[0]} === 1'bx) accuse("ar", "its valid, or the ready of data, is unknown", 64'bx);
        else if (arvalid[0] && ^ar_said === 1'bx) accuse("ar", "a bit of a request is unknown", araddr);
        else if (ar_waits && !arvalid[0]) accuse("ar", "valid withdrawn", araddr);
        else if (ar_waits && ar_said != ar_kept) accuse("ar", "payload changed while waiting", araddr);
        ar_waits = arvalid[0] && !ar_ready;
        ar_kept  = ar_said;
        if (arvalid[0] && ar_ready && !testbench.ended) begin
          check_burst("ar", araddr, arlen, arsize, arburst, arlock);
          if (!testbench.ended) look_ahead(araddr, arlen + 9'd1, arsize[2:0], arburst[1:0]);
          testbench.quiet = 0;
          r_at[r_tail%DEPTH] = araddr;
          r_start[r_tail%DEPTH] = araddr;
          r_id[r_tail%DEPTH] = arid;
          r_left[r_tail%DEPTH] = arlen + 9'd1;
          r_beats[r_tail%DEPTH] = arlen + 9'd1;
          r_size[r_tail%DEPTH] = arsize[2:0];
          r_kind[r_tail%DEPTH] = arburst[1:0];
          r_due[r_tail%DEPTH] = testbench.cycle + LATENCY;
          r_asked[r_tail%DEPTH] = testbench.cycle;
          r_tail = r_tail + 1;
        end
        if (r_valid && rready[0] && !testbench.ended) begin
          r_at[r_now%DEPTH] = next_address(r_at[r_now%DEPTH], r_start[r_now%DEPTH], r_size[r_now%DEPTH],
                                           r_kind[r_now%DEPTH], r_beats[r_now%DEPTH]);
          r_left[r_now%DEPTH] = r_left[r_now%DEPTH] - 9'd1;
          for (i = r_head; i < r_tail && i == r_head; i = i + 1) if (r_left[i%DEPTH] == 0) r_head = r_head + 1;
          r_taken = 1'b1;
          testbench.quiet = 0;
        end
      end
      if (WRITES && !testbench.ended) begin
        if (^{awvalid[0], wvalid[0], bready[0]} === 1'bx)
          accuse("aw", "its valid, that of data, or the ready of answers, is unknown", 64'bx);
        else if (awvalid[0] && ^aw_said === 1'bx) accuse("aw", "a bit of a request is unknown", awaddr);
        else if (wvalid[0] && ^{wstrb, wlast[0]} === 1'bx) accuse("w", "wstrb or wlast is unknown", 64'bx);
        else if (aw_waits && !awvalid[0]) accuse("aw", "valid withdrawn", awaddr);
        else if (aw_waits && aw_said != aw_kept) accuse("aw", "payload changed while waiting", awaddr);
        else if (w_waits && !wvalid[0]) accuse("w", "valid withdrawn", 64'bx);
        else if (w_waits && w_said !== w_kept) accuse("w", "payload changed while waiting", 64'bx);
        aw_waits = awvalid[0] && !aw_ready;
        aw_kept  = aw_said;
        w_waits  = wvalid[0] && !w_ready;
        w_kept   = w_said;
        if (awvalid[0] && aw_ready && !testbench.ended) begin
          check_burst("aw", awaddr, awlen, awsize, awburst, awlock);
          w_at[w_tail%DEPTH] = awaddr;
          w_start[w_tail%DEPTH] = awaddr;
          w_id[w_tail%DEPTH] = awid;
          w_left[w_tail%DEPTH] = awlen + 9'd1;
          w_beats[w_tail%DEPTH] = awlen + 9'd1;
          w_size[w_tail%DEPTH] = awsize[2:0];
          w_kind[w_tail%DEPTH] = awburst[1:0];
          w_tail = w_tail + 1;
        end
        if (wvalid[0] && w_ready && !testbench.ended) begin
          if (!testbench.running && !testbench.setting_up) accuse("w", "write data without a job", 64'bx);
          d_data[d_tail%DEPTH] = wdata;
          d_strobe[d_tail%DEPTH] = wstrb;
          d_last[d_tail%DEPTH] = wlast[0];
          d_tail = d_tail + 1;
          testbench.quiet = 0;
        end
        if (b_valid && bready[0]) begin
          release_bytes(b_now);
          b_done[b_now%DEPTH] = 1'b1;
          for (i = b_head; i < b_tail && i == b_head; i = i + 1) if (b_done[i%DEPTH]) b_head = b_head + 1;
          b_taken = 1'b1;
          testbench.quiet = 0;
        end
        match;
      end
    end

endmodule

`default_nettype wire
