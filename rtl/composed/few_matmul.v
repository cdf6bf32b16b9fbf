`default_nettype none

// Products of two images, head by head: sums of TERMS products of the values of a row of x, which streams, with those of r,
// which is kept. A row is the HEADS x TERMS channels of a place; an image of x has PLACES rows.
//
//     TRANSPOSED 1:  y[i, h * N + j] = sum over c of x[i, h * TERMS + c] * r[j, h * TERMS + c], j of N places of r
//     TRANSPOSED 0:  y[i, h * N + c] = sum over j of x[i, h * TERMS + j] * r[j, h * N + c], j of TERMS places of r
//
// An image of r fills one of two pages of memories, while the rows of x are multiplied by the other one: a column of TERMS
// values for each of OUT_LANES sums a cycle. A row is collected while the one before it is multiplied. So an image takes,
// with no gap,
//
//     max(beats of x, beats of r, PLACES * HEADS * N / OUT_LANES)
//
// cycles. The first sums stand at the output 2 cycles and the latency of few_dot_product after the row's last beat, or
// r's. Each tready depends on registers only: no combinational path crosses this module.
//
// Parameters
//   PLACES         rows of an image of x, 1 or more
//   HEADS          parts of the channels, 1 or more
//   TERMS          products of a sum, 1 or more
//   COLUMNS        N, sums of a head in a row, 1 or more
//   TRANSPOSED     see above
//   X_LANES        values of a beat of x, a divisor of HEADS * TERMS
//   R_LANES        values of a beat of r: TRANSPOSED a divisor of TERMS, else OUT_LANES
//   OUT_LANES      sums of a beat, a divisor of COLUMNS
//   X_W, X_SIGNED  width of x, bits, 1 to 16; 1: it is two's complement, 0: unsigned
//   R_W, R_SIGNED  width of r, bits, 1 to 8, unsigned 1 to 7; the same
//   ACC_W          width of a sum, bits, see few_dot_product
module few_matmul #(
    parameter PLACES = 4,
    parameter HEADS = 2,
    parameter TERMS = 3,
    parameter COLUMNS = 4,
    parameter TRANSPOSED = 1,
    parameter X_LANES = 1,
    parameter R_LANES = 1,
    parameter OUT_LANES = 1,
    parameter X_W = 8,
    parameter X_SIGNED = 1,
    parameter R_W = 8,
    parameter R_SIGNED = 1,
    parameter ACC_W = 18
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire [    X_LANES*X_W-1:0] s0_axis_tdata,   // x
    input  wire                       s0_axis_tvalid,
    output wire                       s0_axis_tready,
    input  wire [    R_LANES*R_W-1:0] s1_axis_tdata,   // r
    input  wire                       s1_axis_tvalid,
    output wire                       s1_axis_tready,
    output wire [OUT_LANES*ACC_W-1:0] m_axis_tdata,
    output wire                       m_axis_tvalid,
    input  wire                       m_axis_tready
);

  generate
    if (PLACES < 1 || HEADS < 1 || TERMS < 1 || COLUMNS < 1) begin : illegal_size
      illegal_parameter_PLACES_HEADS_TERMS_or_COLUMNS_is_below_1 stop ();
    end
    if (TRANSPOSED != 0 && TRANSPOSED != 1) begin : illegal_transposed
      illegal_parameter_TRANSPOSED_is_not_0_or_1 stop ();
    end
    if (X_LANES < 1 || HEADS * TERMS % X_LANES != 0) begin : illegal_x_lanes
      illegal_parameter_X_LANES_is_no_divisor_of_HEADS_and_TERMS stop ();
    end
    if (OUT_LANES < 1 || COLUMNS % OUT_LANES != 0) begin : illegal_out_lanes
      illegal_parameter_OUT_LANES_is_no_divisor_of_COLUMNS stop ();
    end
    if (R_LANES < 1 || (TRANSPOSED != 0 ? TERMS % R_LANES != 0 : R_LANES != OUT_LANES)) begin : illegal_r_lanes
      illegal_parameter_R_LANES_is_no_divisor_of_TERMS_or_not_OUT_LANES stop ();
    end
    if (X_SIGNED < 0 || X_SIGNED > 1 || R_SIGNED < 0 || R_SIGNED > 1) begin : illegal_sign
      illegal_parameter_SIGNED_is_not_0_or_1 stop ();
    end
    if (R_W < 1 || R_W + 1 - R_SIGNED > 8) begin : illegal_r_w
      illegal_parameter_R_W_is_not_1_to_8_or_7_unsigned stop ();
    end
  endgenerate

  localparam BEATS = HEADS * TERMS / X_LANES;   // of a row of x
  localparam BEAT_W = X_LANES * X_W;
  localparam ROW_W = BEATS * BEAT_W;
  localparam SLICE_W = TERMS * X_W;             // a head's values of a row
  localparam GROUPS = COLUMNS / OUT_LANES;      // beats of a head's sums
  localparam PAGE = HEADS * GROUPS;             // words of a page
  localparam W_W = R_W + 1 - R_SIGNED;          // of r as a signed number
  // Beats of r within a head's part, in the order in which they come: of a row's terms, or of its columns.
  localparam PARTS = TRANSPOSED ? TERMS / R_LANES : GROUPS;
  localparam R_ROWS = TRANSPOSED ? COLUMNS : TERMS;
  localparam BEAT_INDEX_W = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam GROUP_W = (GROUPS > 1) ? $clog2(GROUPS) : 1;
  localparam HEAD_W = (HEADS > 1) ? $clog2(HEADS) : 1;
  localparam PLACE_W = (PLACES > 1) ? $clog2(PLACES) : 1;
  localparam PART_W = (PARTS > 1) ? $clog2(PARTS) : 1;
  localparam R_ROW_W = (R_ROWS > 1) ? $clog2(R_ROWS) : 1;
  localparam OUT_LANE_W = (OUT_LANES > 1) ? $clog2(OUT_LANES) : 1;
  localparam ADDRESS_W = $clog2(2 * PAGE);
  localparam [31:0] BEAT_LAST_32 = BEATS - 1;
  localparam [31:0] GROUP_LAST_32 = GROUPS - 1;
  localparam [31:0] HEAD_LAST_32 = HEADS - 1;
  localparam [31:0] PLACE_LAST_32 = PLACES - 1;
  localparam [31:0] PART_LAST_32 = PARTS - 1;
  localparam [31:0] R_ROW_LAST_32 = R_ROWS - 1;
  localparam [31:0] PAGE_32 = PAGE;
  localparam [31:0] GROUPS_32 = GROUPS;
  localparam [BEAT_INDEX_W-1:0] BEAT_LAST = BEAT_LAST_32[BEAT_INDEX_W-1:0];
  localparam [GROUP_W-1:0] GROUP_LAST = GROUP_LAST_32[GROUP_W-1:0];
  localparam [HEAD_W-1:0] HEAD_LAST = HEAD_LAST_32[HEAD_W-1:0];
  localparam [PLACE_W-1:0] PLACE_LAST = PLACE_LAST_32[PLACE_W-1:0];
  localparam [PART_W-1:0] PART_LAST = PART_LAST_32[PART_W-1:0];
  localparam [R_ROW_W-1:0] R_ROW_LAST = R_ROW_LAST_32[R_ROW_W-1:0];
  localparam [ADDRESS_W-1:0] PAGE_FIRST = PAGE_32[ADDRESS_W-1:0];  // the second page's first word
  localparam [ADDRESS_W-1:0] GROUPS_STEP = GROUPS_32[ADDRESS_W-1:0];

  // Rows of x
  reg [ROW_W-1:0] collect_reg;  // the row being collected; the newest beat at the top
  reg [BEAT_INDEX_W-1:0] collect_index_reg;
  reg collect_full_reg;  // a whole row waits for row_reg
  reg [ROW_W-1:0] row_reg;  // the row being multiplied, the head whose turn it is lowest
  reg row_valid_reg;

  // Pages of r
  reg [1:0] filled_reg;  // a page holds a whole image that is not done with
  reg fill_reg;  // the page that is filled
  reg [PART_W-1:0] fill_part_reg;
  reg [HEAD_W-1:0] fill_head_reg;
  reg [R_ROW_W-1:0] fill_row_reg;
  reg [ADDRESS_W-1:0] fill_address_reg;  // of the head and, where r comes column by column, of the beat

  // The product whose turn it is
  reg use_reg;  // its page
  reg [GROUP_W-1:0] group_reg;
  reg [HEAD_W-1:0] head_reg;
  reg [PLACE_W-1:0] place_reg;
  reg [ADDRESS_W-1:0] address_reg;
  reg [SLICE_W-1:0] slice_reg;
  reg operands_valid_reg;

  wire [OUT_LANES-1:0] sum_valid;
  assign m_axis_tvalid = sum_valid[0];
  wire advance = !m_axis_tvalid || m_axis_tready;

  // Filling
  assign s1_axis_tready = !filled_reg[fill_reg];
  wire fill = s1_axis_tvalid && s1_axis_tready;
  wire part_done = fill && fill_part_reg == PART_LAST;
  wire heads_done = part_done && fill_head_reg == HEAD_LAST;
  wire page_done = heads_done && fill_row_reg == R_ROW_LAST;

  // Multiplying
  wire issue = row_valid_reg && filled_reg[use_reg] && advance;
  wire head_done = issue && group_reg == GROUP_LAST;
  wire row_done = head_done && head_reg == HEAD_LAST;
  wire image_done = row_done && place_reg == PLACE_LAST;

  // Collecting
  assign s0_axis_tready = !collect_full_reg;
  wire accepted = s0_axis_tvalid && s0_axis_tready;
  wire row_complete = accepted && collect_index_reg == BEAT_LAST;
  wire [ROW_W-1:0] collected = (collect_reg >> BEAT_W) | ({{(ROW_W - BEAT_W) {1'b0}}, s0_axis_tdata} << (ROW_W - BEAT_W));
  wire row_free = !row_valid_reg || row_done;
  wire row_load = row_free && (collect_full_reg || row_complete);

  always @(posedge clk) begin
    if (accepted) collect_reg <= collected;
    if (row_load) row_reg <= collect_full_reg ? collect_reg : collected;
    else if (head_done) row_reg <= row_reg >> SLICE_W;
    if (issue) slice_reg <= row_reg[SLICE_W-1:0];
    if (rst) begin
      collect_index_reg <= {BEAT_INDEX_W{1'b0}};
      collect_full_reg <= 1'b0;
      row_valid_reg <= 1'b0;
      operands_valid_reg <= 1'b0;
    end else begin
      if (accepted) collect_index_reg <= row_complete ? {BEAT_INDEX_W{1'b0}} : collect_index_reg + 1'b1;
      collect_full_reg <= (collect_full_reg || row_complete) && !row_free;
      row_valid_reg <= row_load || !row_free;
      if (advance) operands_valid_reg <= issue;
    end
  end

  always @(posedge clk) begin
    if (rst) begin
      filled_reg <= 2'b00;
      fill_reg <= 1'b0;
      fill_part_reg <= {PART_W{1'b0}};
      fill_head_reg <= {HEAD_W{1'b0}};
      fill_row_reg <= {R_ROW_W{1'b0}};
      use_reg <= 1'b0;
      group_reg <= {GROUP_W{1'b0}};
      head_reg <= {HEAD_W{1'b0}};
      place_reg <= {PLACE_W{1'b0}};
      address_reg <= {ADDRESS_W{1'b0}};
    end else begin
      if (page_done) filled_reg[fill_reg] <= 1'b1;
      if (image_done) filled_reg[use_reg] <= 1'b0;
      if (page_done) fill_reg <= !fill_reg;
      if (fill) fill_part_reg <= part_done ? {PART_W{1'b0}} : fill_part_reg + 1'b1;
      if (part_done) fill_head_reg <= heads_done ? {HEAD_W{1'b0}} : fill_head_reg + 1'b1;
      if (heads_done) fill_row_reg <= page_done ? {R_ROW_W{1'b0}} : fill_row_reg + 1'b1;
      if (image_done) use_reg <= !use_reg;
      if (issue) begin
        group_reg   <= head_done ? {GROUP_W{1'b0}} : group_reg + 1'b1;
        address_reg <= !row_done ? address_reg + 1'b1 : (use_reg != image_done) ? PAGE_FIRST : {ADDRESS_W{1'b0}};
      end
      if (head_done) head_reg <= row_done ? {HEAD_W{1'b0}} : head_reg + 1'b1;
      if (row_done) place_reg <= image_done ? {PLACE_W{1'b0}} : place_reg + 1'b1;
    end
  end

  // Where r comes column by column its beats are the words of a page in order, once for every term; else a place of r is
  // one column, all heads' terms: its word of the first head, then those of the others.
  generate
    if (TRANSPOSED != 0) begin : by_places
      localparam [31:0] OUT_LANE_LAST_32 = OUT_LANES - 1;
      localparam [OUT_LANE_W-1:0] OUT_LANE_LAST = OUT_LANE_LAST_32[OUT_LANE_W-1:0];
      reg [OUT_LANE_W-1:0] bank_reg;  // the lane of the sums of this place of r
      reg [ADDRESS_W-1:0] first_reg;  // the word of its first head
      wire next_word = bank_reg == OUT_LANE_LAST;
      wire [ADDRESS_W-1:0] page_next = fill_reg ? {ADDRESS_W{1'b0}} : PAGE_FIRST;
      wire [ADDRESS_W-1:0] first_next = page_done ? page_next : next_word ? first_reg + 1'b1 : first_reg;
      always @(posedge clk) begin
        if (rst) begin
          bank_reg <= {OUT_LANE_W{1'b0}};
          first_reg <= {ADDRESS_W{1'b0}};
          fill_address_reg <= {ADDRESS_W{1'b0}};
        end else if (heads_done) begin
          bank_reg <= next_word ? {OUT_LANE_W{1'b0}} : bank_reg + 1'b1;
          first_reg <= first_next;
          fill_address_reg <= first_next;
        end else if (part_done) begin
          fill_address_reg <= fill_address_reg + GROUPS_STEP;
        end
      end
    end else begin : by_columns
      always @(posedge clk) begin
        if (rst) fill_address_reg <= {ADDRESS_W{1'b0}};
        else if (heads_done) fill_address_reg <= (fill_reg != page_done) ? PAGE_FIRST : {ADDRESS_W{1'b0}};
        else if (fill) fill_address_reg <= fill_address_reg + 1'b1;
      end
    end
  endgenerate

  genvar t, n;
  generate
    for (n = 0; n < OUT_LANES; n = n + 1) begin : lane
      wire [TERMS*W_W-1:0] column;
      for (t = 0; t < TERMS; t = t + 1) begin : term
        wire here;
        wire [R_W-1:0] value;
        wire [R_W-1:0] kept;
        if (TRANSPOSED != 0) begin : by_place
          localparam [31:0] PART_32 = t / R_LANES;
          localparam [31:0] BANK_32 = n;
          assign here  = fill_part_reg == PART_32[PART_W-1:0] && by_places.bank_reg == BANK_32[OUT_LANE_W-1:0];
          assign value = s1_axis_tdata[R_W*(t%R_LANES)+:R_W];
        end else begin : by_column
          localparam [31:0] ROW_32 = t;
          assign here  = fill_row_reg == ROW_32[R_ROW_W-1:0];
          assign value = s1_axis_tdata[R_W*n+:R_W];
        end
        ram #(
            .WORDS(2 * PAGE),
            .WIDTH(R_W)
        ) page (
            .clk(clk),
            .write_enable(fill && here),
            .write_address(fill_address_reg),
            .write_data(value),
            .read_enable(issue),
            .read_address(address_reg),
            .read_data(kept)
        );
        if (R_SIGNED != 0) begin : numbers
          assign column[W_W*t+:W_W] = kept;
        end else begin : extended
          assign column[W_W*t+:W_W] = {1'b0, kept};
        end
      end
      few_dot_product #(
          .LANES(TERMS),
          .X_W(X_W),
          .X_KIND(1 - X_SIGNED),
          .W_W(W_W),
          .W_BIPOLAR(0),
          .ACC_W(ACC_W)
      ) dot_product_column (
          .clk(clk),
          .rst(rst),
          .enable(advance),
          .in_valid(operands_valid_reg),
          .x(slice_reg),
          .w(column),
          .out_valid(sum_valid[n]),
          .sum(m_axis_tdata[ACC_W*n+:ACC_W])
      );
    end
    if (OUT_LANES > 1) begin : alike
      // All lanes keep the same time.
      wire unused = &{1'b0, sum_valid[OUT_LANES-1:1]};
    end
  endgenerate

endmodule

`default_nettype wire
