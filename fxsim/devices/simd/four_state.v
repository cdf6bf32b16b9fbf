`default_nettype none

// Drives simd_resmlp in a simulator of four states: one job, from a memory, and everything that it shows written down.
//
// Streams of the file FOUR_STATE_EVENTS (see fxsim/simulate/four_state.py): stage0 to stage5, a monitor's words of 16
// channels; result, the words written, and result_address, where; status, error and images_done, registers at the end.
//
// While nothing is valid a channel's other lines are X, and before the reset so is everything.
module four_state;

  localparam PARAMETER_WORDS = `FOUR_STATE_PARAMETER_WORDS;
  localparam IMAGES = `FOUR_STATE_IMAGES;
  localparam IMAGE_WORDS = `FOUR_STATE_IMAGE_WORDS;    // of an image
  localparam RESULT_WORDS = `FOUR_STATE_RESULT_WORDS;  // of an image
  localparam WATCHDOG = `FOUR_STATE_WATCHDOG;          // cycles in which nothing moves after which the design is stuck
  localparam STALL = `FOUR_STATE_STALL;                // cycles of 100 in which a channel holds back
  localparam RESETS = `FOUR_STATE_RESETS;              // of one cycle, in mid-run; then the job is run again
  localparam READS = (PARAMETER_WORDS + IMAGE_WORDS) * IMAGES;
  localparam RESET_CYCLES = 4;
  localparam ADDRESS_W = 64;
  localparam DEPTH = 1024;                             // bursts and answers that may be under way
  localparam [63:0] PARAMETERS_AT = 64'h1000_0000;
  localparam [63:0] IMAGES_AT = 64'h2000_0000;
  localparam [63:0] RESULTS_AT = 64'h3000_0000;

  reg clk = 1'b0;
  reg rst = 1'b1;
  reg [7:0] awaddr;
  reg awvalid = 1'b0;
  wire awready;
  reg [31:0] wdata;
  reg [3:0] wstrb;
  reg wvalid = 1'b0;
  wire wready;
  wire [1:0] bresp;
  wire bvalid;
  reg [7:0] araddr;
  reg arvalid = 1'b0;
  wire arready;
  wire [31:0] rdata;
  wire [1:0] rresp;
  wire rvalid;
  wire [0:0] m_awid;
  wire [ADDRESS_W-1:0] m_awaddr;
  wire [7:0] m_awlen;
  wire [2:0] m_awsize;
  wire [1:0] m_awburst;
  wire m_awvalid;
  reg m_awready = 1'b0;
  wire [127:0] m_wdata;
  wire [15:0] m_wstrb;
  wire m_wlast;
  wire m_wvalid;
  reg m_wready = 1'b0;
  reg [1:0] m_bresp;
  reg m_bvalid = 1'b0;
  wire m_bready;
  wire [0:0] m_arid;
  wire [ADDRESS_W-1:0] m_araddr;
  wire [7:0] m_arlen;
  wire [2:0] m_arsize;
  wire [1:0] m_arburst;
  wire m_arvalid;
  reg m_arready = 1'b0;
  reg [0:0] m_rid;
  reg [127:0] m_rdata;
  reg [1:0] m_rresp;
  reg m_rlast;
  reg m_rvalid = 1'b0;
  wire m_rready;
  wire irq;
  wire [5:0] mon_valid;
  wire [767:0] mon_data;

  simd_resmlp #(`FOUR_STATE_PARAMETERS) dut (
      .clk(clk),
      .rst(rst),
      .s_axil_awaddr(awaddr),
      .s_axil_awprot(3'd0),
      .s_axil_awvalid(awvalid),
      .s_axil_awready(awready),
      .s_axil_wdata(wdata),
      .s_axil_wstrb(wstrb),
      .s_axil_wvalid(wvalid),
      .s_axil_wready(wready),
      .s_axil_bresp(bresp),
      .s_axil_bvalid(bvalid),
      .s_axil_bready(1'b1),
      .s_axil_araddr(araddr),
      .s_axil_arprot(3'd0),
      .s_axil_arvalid(arvalid),
      .s_axil_arready(arready),
      .s_axil_rdata(rdata),
      .s_axil_rresp(rresp),
      .s_axil_rvalid(rvalid),
      .s_axil_rready(1'b1),
      .m_axi_awid(m_awid),
      .m_axi_awaddr(m_awaddr),
      .m_axi_awlen(m_awlen),
      .m_axi_awsize(m_awsize),
      .m_axi_awburst(m_awburst),
      .m_axi_awvalid(m_awvalid),
      .m_axi_awready(m_awready),
      .m_axi_wdata(m_wdata),
      .m_axi_wstrb(m_wstrb),
      .m_axi_wlast(m_wlast),
      .m_axi_wvalid(m_wvalid),
      .m_axi_wready(m_wready),
      .m_axi_bid(1'b0),
      .m_axi_bresp(m_bresp),
      .m_axi_bvalid(m_bvalid),
      .m_axi_bready(m_bready),
      .m_axi_arid(m_arid),
      .m_axi_araddr(m_araddr),
      .m_axi_arlen(m_arlen),
      .m_axi_arsize(m_arsize),
      .m_axi_arburst(m_arburst),
      .m_axi_arvalid(m_arvalid),
      .m_axi_arready(m_arready),
      .m_axi_rid(m_rid),
      .m_axi_rdata(m_rdata),
      .m_axi_rresp(m_rresp),
      .m_axi_rlast(m_rlast),
      .m_axi_rvalid(m_rvalid),
      .m_axi_rready(m_rready),
      .irq(irq),
      .mon_valid(mon_valid),
      .mon_data(mon_data)
  );

  reg [127:0] parameters[0:PARAMETER_WORDS-1];
  reg [127:0] images[0:IMAGES*IMAGE_WORDS-1];
  integer events;
  integer seed = 1;
  integer cycle = 0;
  integer idle = 0;
  integer i;
  reg ended = 1'b0;

  initial begin
    events = $fopen(`FOUR_STATE_EVENTS);
    $readmemh(`FOUR_STATE_PARAMETER_FILE, parameters);
    $readmemh(`FOUR_STATE_IMAGE_FILE, images);
  end

  always #5 clk = !clk;

  task finish;
    input [8*8-1:0] how;
    begin
      if (!ended) begin
        $fdisplay(events, "end %0s %0d -", how, cycle);
        $fclose(events);
        ended = 1'b1;
        $finish(0);
      end
    end
  endtask

  // `value`: X if any of the bits looked at is.
  task check_known;
    input [8*16-1:0] name;
    input integer index;
    input value;
    begin
      if (!ended && (value === 1'bx || value === 1'bz)) begin
        if (index < 0) $fdisplay(events, "unknown %0s %0d x", name, cycle);
        else $fdisplay(events, "unknown %0s[%0d] %0d x", name, index, cycle);
        finish("unknown");
      end
    end
  endtask

  // Whether a channel holds back in this cycle.
  reg hold;
  task draw;
    begin
      hold = $unsigned($random(seed)) % 100 < STALL;
    end
  endtask

  // ---- The master: registers written in order, a job waited for, registers read ----

  reg [39:0] writes[0:15];  // offset, data
  reg [7:0] reads[0:2];
  integer write_count = 0;
  integer written = 0;
  integer read_count = 0;
  reg address_taken = 1'b0;
  reg data_taken = 1'b0;
  reg asked = 1'b0;

  task set;
    input [7:0] offset;
    input [31:0] data;
    begin
      writes[write_count] = {offset, data};
      write_count = write_count + 1;
    end
  endtask

  initial begin
    set(8'h10, PARAMETERS_AT[31:0]);
    set(8'h14, PARAMETERS_AT[63:32]);
    set(8'h18, PARAMETER_WORDS);
    set(8'h1C, IMAGES);
    set(8'h20, IMAGES_AT[31:0]);
    set(8'h24, IMAGES_AT[63:32]);
    set(8'h28, IMAGE_WORDS);
    set(8'h2C, 16 * IMAGE_WORDS);
    set(8'h30, RESULTS_AT[31:0]);
    set(8'h34, RESULTS_AT[63:32]);
    set(8'h38, RESULT_WORDS);
    set(8'h3C, 16 * RESULT_WORDS);
    set(8'h04, 32'h9);  // start, with the interrupt
    reads[0] = 8'h08;   // STATUS
    reads[1] = 8'h0C;   // ERROR
    reads[2] = 8'h48;   // IMAGES_DONE
  end

  // ---- The memory ----

  reg [ADDRESS_W-1:0] burst_address[0:DEPTH-1];
  reg [8:0] burst_left[0:DEPTH-1];
  reg burst_id[0:DEPTH-1];
  integer burst_head = 0;
  integer burst_tail = 0;
  integer addresses = 0;  // of words written
  integer words = 0;
  integer answers = 0;
  reg [ADDRESS_W-1:0] at;

  function [127:0] word_at;
    input [ADDRESS_W-1:0] address;
    begin
      if (address >= PARAMETERS_AT && address < PARAMETERS_AT + 16 * PARAMETER_WORDS)
        word_at = parameters[(address-PARAMETERS_AT)/16];
      else if (address >= IMAGES_AT && address < IMAGES_AT + 16 * IMAGES * IMAGE_WORDS)
        word_at = images[(address-IMAGES_AT)/16];
      else word_at = 128'bx;  // nothing lies there
    end
  endfunction

  // After so many words that were read and then so many cycles, at the end of the job at the latest.
  integer resets = 0;
  integer words_read = 0;
  integer reset_reads = 0;
  integer reset_delay = 0;
  task draw_reset;
    begin
      reset_reads = $unsigned($random(seed)) % READS;
      reset_delay = $unsigned($random(seed)) % 128;
    end
  endtask

  // Lines change when the clock falls; handshakes happen when it rises.
  always @(negedge clk) begin
    rst = cycle < RESET_CYCLES;
    if (cycle == 0) draw_reset;
    if (!rst && !ended && resets < RESETS && words_read >= reset_reads) begin
      if (reset_delay == 0 || irq === 1'b1) begin
        rst = 1'b1;
        resets = resets + 1;
        $fdisplay(events, "reset again %0d -", cycle);
        draw_reset;
        {awvalid, wvalid, arvalid, address_taken, data_taken, asked} = 6'd0;
        {m_rvalid, m_bvalid} = 2'd0;
        written = 0;
        read_count = 0;
        burst_head = burst_tail;
        addresses = 0;
        words = 0;
        answers = 0;
        words_read = 0;
        idle = 0;
      end else reset_delay = reset_delay - 1;
    end
    if (!rst) begin
      awvalid = written < write_count && !address_taken;
      awaddr = awvalid ? writes[written][39:32] : 8'bx;
      wvalid = written < write_count && !data_taken;
      wdata = wvalid ? writes[written][31:0] : 32'bx;
      wstrb = wvalid ? 4'hF : 4'bx;
      arvalid = irq === 1'b1 && read_count < 3 && !asked;
      araddr = arvalid ? reads[read_count] : 8'bx;
      draw;
      m_arready = !hold && burst_tail - burst_head < DEPTH;
      draw;
      m_awready = !hold;
      draw;
      m_wready = !hold;
      if (!m_bvalid) begin
        draw;
        m_bvalid = !hold && answers < words && answers < addresses;
        m_bresp = m_bvalid ? 2'd0 : 2'bx;
      end
      if (!m_rvalid) begin
        draw;
        m_rvalid = !hold && burst_head < burst_tail;
        m_rid = 1'bx;
        m_rdata = 128'bx;
        m_rresp = 2'bx;
        m_rlast = 1'bx;
        if (m_rvalid) begin
          m_rid = burst_id[burst_head%DEPTH];
          m_rdata = word_at(burst_address[burst_head%DEPTH]);
          m_rresp = 2'd0;
          m_rlast = burst_left[burst_head%DEPTH] == 9'd1;
        end
      end
    end
  end

  always @(posedge clk) begin
    if (!rst && !ended) begin
      idle = idle + 1;
      check_known("s_axil_awready", -1, awready);
      check_known("s_axil_wready", -1, wready);
      check_known("s_axil_arready", -1, arready);
      check_known("s_axil_bvalid", -1, bvalid);
      check_known("s_axil_rvalid", -1, rvalid);
      check_known("m_axi_arvalid", -1, m_arvalid);
      check_known("m_axi_awvalid", -1, m_awvalid);
      check_known("m_axi_wvalid", -1, m_wvalid);
      check_known("m_axi_rready", -1, m_rready);
      check_known("m_axi_bready", -1, m_bready);
      check_known("irq", -1, irq);
      if (bvalid === 1'b1) check_known("s_axil_bresp", -1, ^bresp);
      if (rvalid === 1'b1) check_known("s_axil_rresp", -1, ^rresp);
      if (m_arvalid === 1'b1) check_known("m_axi_ar", -1, ^{m_arid, m_araddr, m_arlen, m_arsize, m_arburst});
      if (m_awvalid === 1'b1) check_known("m_axi_aw", -1, ^{m_awid, m_awlen, m_awsize, m_awburst});
      if (m_wvalid === 1'b1) check_known("m_axi_w", -1, ^{m_wstrb, m_wlast});
      for (i = 0; i < 6; i = i + 1) begin
        check_known("mon_valid", i, mon_valid[i]);
        if (!ended && mon_valid[i]) begin
          $fdisplay(events, "value stage%0d %0d %b", i, cycle, mon_data[128*i+:128]);
          idle = 0;
        end
      end
      if (!ended) begin
        if (awvalid && awready) address_taken = 1'b1;
        if (wvalid && wready) data_taken = 1'b1;
        if (bvalid) begin
          if (bresp != 2'd0) finish("refused");
          written = written + 1;
          address_taken = 1'b0;
          data_taken = 1'b0;
          idle = 0;
        end
        if (arvalid && arready) asked = 1'b1;
        if (rvalid) begin
          case (read_count)
            0: $fdisplay(events, "value status %0d %b", cycle, rdata);
            1: $fdisplay(events, "value error %0d %b", cycle, rdata);
            default: $fdisplay(events, "value images_done %0d %b", cycle, rdata);
          endcase
          read_count = read_count + 1;
          asked = 1'b0;
          idle = 0;
        end
        if (m_arvalid && m_arready) begin
          burst_address[burst_tail%DEPTH] = m_araddr;
          burst_left[burst_tail%DEPTH] = m_arlen + 9'd1;
          burst_id[burst_tail%DEPTH] = m_arid;
          burst_tail = burst_tail + 1;
          idle = 0;
        end
        if (m_rvalid && m_rready) begin
          words_read = words_read + 1;
          at = burst_address[burst_head%DEPTH];
          burst_address[burst_head%DEPTH] = at + 16;
          burst_left[burst_head%DEPTH] = burst_left[burst_head%DEPTH] - 9'd1;
          if (burst_left[burst_head%DEPTH] == 9'd0) burst_head = burst_head + 1;
          m_rvalid = 1'b0;
          idle = 0;
        end
        if (m_awvalid && m_awready) begin
          at = m_awaddr - RESULTS_AT;
          $fdisplay(events, "value result_address %0d %b", cycle, at[31:0]);
          addresses = addresses + 1;
          idle = 0;
        end
        if (m_wvalid && m_wready) begin
          $fdisplay(events, "value result %0d %b", cycle, m_wdata);
          words = words + 1;
          idle = 0;
        end
        if (m_bvalid && m_bready) begin
          answers = answers + 1;
          m_bvalid = 1'b0;
          idle = 0;
        end
      end
      if (read_count == 3 && idle >= 64) finish("done");
      else if (idle >= WATCHDOG) finish("stuck");
    end
    cycle = cycle + 1;
  end

endmodule

`default_nettype wire
