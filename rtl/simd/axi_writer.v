`default_nettype none

// Writes results to memory: each 128-bit word one AXI4 write of one beat, up to OUTSTANDING of them unanswered.
//
// Image n's `words` words go to `address` + n * `stride`. `start` begins at the first image; `words` and `stride` must
// not change during a run. Words wait in a FIFO of 16 that `flush` empties; `result_ready` means room for 8 more. One
// leaves the FIFO while `enable` is high; its address and its data are then shown at once and each stands until it is
// accepted, in whatever order, also after `flush`. `idle`: nothing shown and nothing unanswered.
//
// `images_done` counts the images of whose words every write was answered with OKAY; `response_error` is high for a
// cycle after another answer, and from then on `images_done` does not count. An answer that is not owed is swallowed.
//
// Parameters
//   ADDRESS_W    width of addresses, bits, 32 to 64
//   OUTSTANDING  writes unanswered, at most, 1 or more
module axi_writer #(
    parameter ADDRESS_W = 64,
    parameter OUTSTANDING = 16
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 flush,
    input  wire                 start,
    input  wire [ADDRESS_W-5:0] address,         // in words
    input  wire [         31:0] words,           // 1 or more
    input  wire [         27:0] stride,          // in words
    input  wire                 enable,
    input  wire                 result_valid,
    input  wire [        127:0] result_data,
    output wire                 result_ready,
    output wire [ADDRESS_W-1:0] m_axi_awaddr,
    output wire                 m_axi_awvalid,
    input  wire                 m_axi_awready,
    output wire [        127:0] m_axi_wdata,
    output wire                 m_axi_wvalid,
    input  wire                 m_axi_wready,
    input  wire [          1:0] m_axi_bresp,
    input  wire                 m_axi_bvalid,
    output wire                 m_axi_bready,
    output wire [         31:0] images_done,
    output wire                 response_error,
    output wire                 idle
);

  localparam QUEUE = 16;
  localparam WORD_W = ADDRESS_W - 4;
  localparam OWED_W = $clog2(OUTSTANDING + 1);
  localparam [31:0] OUTSTANDING_32 = OUTSTANDING;
  localparam [OWED_W-1:0] MOST = OUTSTANDING_32[OWED_W-1:0];

  generate
    if (ADDRESS_W < 32 || ADDRESS_W > 64) begin : illegal_address_w
      illegal_parameter_ADDRESS_W_is_not_32_to_64 stop ();
    end
    if (OUTSTANDING < 1) begin : illegal_outstanding
      illegal_parameter_OUTSTANDING_is_below_1 stop ();
    end
  endgenerate

  wire queue_valid;
  wire queue_ready;
  wire [127:0] queue_data;
  wire queue_has_room;  // always, where the sender heeds result_ready
  wire unused_room = queue_has_room;

  axis_fifo #(
      .DEPTH(QUEUE),
      .DATA_W(128)
  ) queue (
      .clk(clk),
      .rst(flush),
      .s_axis_tdata(result_data),
      .s_axis_tvalid(result_valid),
      .s_axis_tready(queue_has_room),
      .m_axis_tdata(queue_data),
      .m_axis_tvalid(queue_valid),
      .m_axis_tready(queue_ready)
  );

  reg address_valid_reg;
  reg data_valid_reg;
  reg [WORD_W-1:0] address_reg;  // shown
  reg [127:0] data_reg;
  reg [WORD_W-1:0] next_reg;  // of the next word
  reg [WORD_W-1:0] image_reg;  // where its image begins
  reg [31:0] left_reg;  // words of its image
  reg [4:0] waiting_reg;  // words in the FIFO
  reg [OWED_W-1:0] owed_reg;  // writes shown whose answer has not come

  wire address_free = !address_valid_reg || m_axi_awready;
  wire data_free = !data_valid_reg || m_axi_wready;
  assign queue_ready = enable && address_free && data_free && owed_reg != MOST;
  wire taken = queue_valid && queue_ready;

  wire [WORD_W-1:0] stride_w;
  generate
    if (WORD_W > 28) begin : wide
      assign stride_w = {{(WORD_W - 28) {1'b0}}, stride};
    end else begin : equal
      assign stride_w = stride;
    end
  endgenerate
  wire [WORD_W-1:0] next_image = image_reg + stride_w;
  wire image_end = left_reg == 32'd1;

  always @(posedge clk) begin
    if (taken) begin
      address_reg <= next_reg;
      data_reg <= queue_data;
    end
    if (start) begin
      next_reg  <= address;
      image_reg <= address;
      left_reg  <= words;
    end else if (taken) begin
      next_reg <= image_end ? next_image : next_reg + 1'b1;
      left_reg <= image_end ? words : left_reg - 32'd1;
      if (image_end) image_reg <= next_image;
    end
  end

  // Answers are looked at one cycle after they came.
  reg answer_reg;
  reg answer_bad_reg;
  wire nothing_owed = owed_reg == {OWED_W{1'b0}};
  wire counted = answer_reg && !nothing_owed;

  // answer_reg: an answer in a reset's last cycle is not owed, and would be swallowed. Reset so that none is seen at all.
  always @(posedge clk) begin
    if (rst) begin
      address_valid_reg <= 1'b0;
      data_valid_reg <= 1'b0;
      answer_reg <= 1'b0;
      owed_reg <= {OWED_W{1'b0}};
    end else begin
      if (address_free) address_valid_reg <= taken;
      if (data_free) data_valid_reg <= taken;
      answer_reg <= m_axi_bvalid;
      if (taken && !counted) owed_reg <= owed_reg + 1'b1;
      else if (counted && !taken) owed_reg <= owed_reg - 1'b1;
    end
    answer_bad_reg <= m_axi_bresp != 2'd0;
    if (flush) waiting_reg <= 5'd0;
    else waiting_reg <= waiting_reg + {4'd0, result_valid} - {4'd0, taken};
  end

  reg failed_reg;
  reg [31:0] done_left_reg;  // answers until the present image is done
  reg [31:0] images_done_reg;
  // `start` loads all three before anything is written; images_done_reg is read as a register before the first one.
  always @(posedge clk) begin
    if (rst || start) begin
      failed_reg <= 1'b0;
      images_done_reg <= 32'd0;
      done_left_reg <= words;
    end else if (counted && !failed_reg) begin
      if (answer_bad_reg) failed_reg <= 1'b1;
      else begin
        done_left_reg <= (done_left_reg == 32'd1) ? words : done_left_reg - 32'd1;
        if (done_left_reg == 32'd1) images_done_reg <= images_done_reg + 32'd1;
      end
    end
  end

  assign result_ready = waiting_reg <= 5'd8;
  assign response_error = counted && answer_bad_reg;
  assign idle = nothing_owed && !address_valid_reg && !data_valid_reg;
  assign images_done = images_done_reg;
  assign m_axi_awaddr = {address_reg, 4'd0};
  assign m_axi_awvalid = address_valid_reg;
  assign m_axi_wdata = data_reg;
  assign m_axi_wvalid = data_valid_reg;
  assign m_axi_bready = 1'b1;

endmodule

`default_nettype wire
