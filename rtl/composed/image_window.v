`default_nettype none

// The windows of an image: of each place of a kernel, row by row, the pixels that it covers, row by row. Pixels are WORDS
// beats each; pixels outside of the image are zeros.
//
// A ring of LINES image rows takes the image while its windows are read, the next image behind it. The windows of an
// output row are read when all image rows under the kernel are there, which are given back, as far as the next output row
// does not need them, with the last beat. Without a gap an image takes
//
//     WORDS * max(ROWS * COLUMNS, places * KERNEL_ROWS * KERNEL_COLUMNS)
//
// cycles, with LINES of 0 (as many as that needs) or more than that; with fewer, down to those under the kernel, it may
// take longer. Latency: 2 cycles from the last beat of the last row that an output row needs to the first of that row's
// windows, one memory read. s_axis_tready depends on registers only: no combinational path crosses this module.
//
// Parameters
//   ROWS, COLUMNS                            of the image, 1 or more
//   WORDS                                    beats of a pixel, 1 or more
//   DATA_W                                   width of a beat, bits, 1 or more
//   KERNEL_ROWS, KERNEL_COLUMNS              of the kernel, 1 or more
//   STRIDE_ROWS, STRIDE_COLUMNS              from one place to the next, 1 or more
//   DILATION_ROWS, DILATION_COLUMNS          from one row or column of the kernel to the next, 1 or more
//   PAD_TOP, PAD_LEFT, PAD_BOTTOM, PAD_RIGHT rows and columns of zeros about the image, fewer than the kernel spans
//   BIPOLAR                                  1: every bit of a beat stands for -1 or 1 and leaves as a number of two
//                                            bits, so that 0 stands for pixels outside
//   LINES                                    rows of the ring: 0, or the least of the image's and those that the kernel
//                                            spans, or more
module image_window #(
    parameter ROWS = 8,
    parameter COLUMNS = 8,
    parameter WORDS = 1,
    parameter DATA_W = 8,
    parameter KERNEL_ROWS = 3,
    parameter KERNEL_COLUMNS = 3,
    parameter STRIDE_ROWS = 1,
    parameter STRIDE_COLUMNS = 1,
    parameter DILATION_ROWS = 1,
    parameter DILATION_COLUMNS = 1,
    parameter PAD_TOP = 0,
    parameter PAD_LEFT = 0,
    parameter PAD_BOTTOM = 0,
    parameter PAD_RIGHT = 0,
    parameter BIPOLAR = 0,
    parameter LINES = 0
) (
    input  wire                                       clk,
    input  wire                                       rst,
    input  wire [DATA_W-1:0]                          s_axis_tdata,
    input  wire                                       s_axis_tvalid,
    output wire                                       s_axis_tready,
    output wire [(BIPOLAR != 0 ? 2 : 1) * DATA_W-1:0] m_axis_tdata,
    output wire                                       m_axis_tvalid,
    input  wire                                       m_axis_tready
);

  // What the kernel spans, and its places.
  localparam SPAN_ROWS = DILATION_ROWS * (KERNEL_ROWS - 1) + 1;
  localparam SPAN_COLUMNS = DILATION_COLUMNS * (KERNEL_COLUMNS - 1) + 1;
  localparam PADDED_ROWS = ROWS + PAD_TOP + PAD_BOTTOM;
  localparam PADDED_COLUMNS = COLUMNS + PAD_LEFT + PAD_RIGHT;
  localparam FITS = SPAN_ROWS <= PADDED_ROWS && SPAN_COLUMNS <= PADDED_COLUMNS;
  localparam PLACE_ROWS = FITS ? (PADDED_ROWS - SPAN_ROWS) / STRIDE_ROWS + 1 : 1;
  localparam PLACE_COLUMNS = FITS ? (PADDED_COLUMNS - SPAN_COLUMNS) / STRIDE_COLUMNS + 1 : 1;

  // Rows of the ring. An output row holds those under the kernel while the next ones come; the last one of an image
  // those that are left of it, while those under the kernel's first place come. One more lets a read and the writes that
  // it made room for overlap.
  localparam HELD_MOST = (SPAN_ROWS < ROWS) ? SPAN_ROWS : ROWS;
  localparam LAST_BAND = STRIDE_ROWS * (PLACE_ROWS - 1);
  localparam HELD_LAST = ROWS - ((LAST_BAND > PAD_TOP) ? LAST_BAND - PAD_TOP : 0);
  localparam HELD_FIRST = (SPAN_ROWS - PAD_TOP < ROWS) ? SPAN_ROWS - PAD_TOP : ROWS;
  localparam WITHIN = HELD_MOST + STRIDE_ROWS;
  localparam ACROSS = HELD_LAST + HELD_FIRST;
  localparam RING = (LINES != 0) ? LINES : ((WITHIN > ACROSS) ? WITHIN : ACROSS) + 1;

  localparam LINE = COLUMNS * WORDS;
  localparam SIZE = RING * LINE;
  localparam ADDRESS_W = (SIZE > 1) ? $clog2(SIZE) : 1;
  localparam LINE_W = (LINE > 1) ? $clog2(LINE) : 1;
  localparam WORD_W = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam KERNEL_ROW_W = (KERNEL_ROWS > 1) ? $clog2(KERNEL_ROWS) : 1;
  localparam KERNEL_COLUMN_W = (KERNEL_COLUMNS > 1) ? $clog2(KERNEL_COLUMNS) : 1;
  localparam ROW_W = (PADDED_ROWS > 1) ? $clog2(PADDED_ROWS) : 1;
  localparam COLUMN_W = (PADDED_COLUMNS > 1) ? $clog2(PADDED_COLUMNS) : 1;
  localparam HELD_W = $clog2(RING + STRIDE_ROWS + PADDED_ROWS + SPAN_ROWS + 1) + 1;  // every number of rows, and a sign

  generate
    if (ROWS < 1 || COLUMNS < 1) begin : illegal_image
      illegal_parameter_ROWS_or_COLUMNS_is_below_1 stop ();
    end
    if (WORDS < 1) begin : illegal_words
      illegal_parameter_WORDS_is_below_1 stop ();
    end
    if (DATA_W < 1) begin : illegal_data_w
      illegal_parameter_DATA_W_is_below_1 stop ();
    end
    if (KERNEL_ROWS < 1 || KERNEL_COLUMNS < 1) begin : illegal_kernel
      illegal_parameter_KERNEL_is_below_1 stop ();
    end
    if (STRIDE_ROWS < 1 || STRIDE_COLUMNS < 1) begin : illegal_stride
      illegal_parameter_STRIDE_is_below_1 stop ();
    end
    if (DILATION_ROWS < 1 || DILATION_COLUMNS < 1) begin : illegal_dilation
      illegal_parameter_DILATION_is_below_1 stop ();
    end
    if (PAD_TOP < 0 || PAD_TOP >= SPAN_ROWS || PAD_BOTTOM < 0 || PAD_BOTTOM >= SPAN_ROWS
        || PAD_LEFT < 0 || PAD_LEFT >= SPAN_COLUMNS || PAD_RIGHT < 0 || PAD_RIGHT >= SPAN_COLUMNS) begin : illegal_pad
      illegal_parameter_PAD_is_not_less_than_the_kernel_spans stop ();
    end
    if (!FITS) begin : illegal_span
      illegal_parameter_KERNEL_is_beyond_the_padded_image stop ();
    end
    if (BIPOLAR != 0 && BIPOLAR != 1) begin : illegal_bipolar
      illegal_parameter_BIPOLAR_is_not_0_or_1 stop ();
    end
    if (RING < HELD_MOST) begin : illegal_lines
      illegal_parameter_LINES_is_below_those_under_the_kernel stop ();
    end
  endgenerate

  localparam [31:0] SIZE_LAST_32 = SIZE - 1;
  localparam [31:0] LINE_LAST_32 = LINE - 1;
  localparam [31:0] WORD_LAST_32 = WORDS - 1;
  localparam [31:0] KERNEL_ROW_LAST_32 = KERNEL_ROWS - 1;
  localparam [31:0] KERNEL_COLUMN_LAST_32 = KERNEL_COLUMNS - 1;
  localparam [31:0] BAND_LAST_32 = LAST_BAND;
  localparam [31:0] LEFT_LAST_32 = STRIDE_COLUMNS * (PLACE_COLUMNS - 1);
  localparam [ADDRESS_W-1:0] SIZE_LAST = SIZE_LAST_32[ADDRESS_W-1:0];
  localparam [LINE_W-1:0] LINE_LAST = LINE_LAST_32[LINE_W-1:0];
  localparam [WORD_W-1:0] WORD_LAST = WORD_LAST_32[WORD_W-1:0];
  localparam [KERNEL_ROW_W-1:0] KERNEL_ROW_LAST = KERNEL_ROW_LAST_32[KERNEL_ROW_W-1:0];
  localparam [KERNEL_COLUMN_W-1:0] KERNEL_COLUMN_LAST = KERNEL_COLUMN_LAST_32[KERNEL_COLUMN_W-1:0];
  localparam [ROW_W-1:0] BAND_LAST = BAND_LAST_32[ROW_W-1:0];
  localparam [COLUMN_W-1:0] LEFT_LAST = LEFT_LAST_32[COLUMN_W-1:0];

  // Steps, in rows and columns and in addresses. Addresses of the ring step modulo SIZE, those within a row, which are
  // below 0 left of the image, modulo 2^ADDRESS_W.
  localparam [31:0] STRIDE_ROWS_32 = STRIDE_ROWS;
  localparam [31:0] STRIDE_COLUMNS_32 = STRIDE_COLUMNS;
  localparam [31:0] DILATION_ROWS_32 = DILATION_ROWS;
  localparam [31:0] DILATION_COLUMNS_32 = DILATION_COLUMNS;
  localparam [31:0] BAND_FIRST_32 = (RING - PAD_TOP % RING) % RING * LINE;
  localparam [31:0] BAND_STEP_32 = STRIDE_ROWS % RING * LINE;
  localparam [31:0] BAND_BACK_32 = (ROWS - LAST_BAND % RING + RING * (1 + LAST_BAND / RING)) % RING * LINE;
  localparam [31:0] ROW_STEP_32 = DILATION_ROWS % RING * LINE;
  localparam [31:0] LEFT_FIRST_32 = -PAD_LEFT * WORDS;
  localparam [31:0] LEFT_STEP_32 = STRIDE_COLUMNS * WORDS;
  localparam [31:0] COLUMN_STEP_32 = (DILATION_COLUMNS - 1) * WORDS + 1;
  localparam [ROW_W-1:0] STRIDE_ROW = STRIDE_ROWS_32[ROW_W-1:0];
  localparam [COLUMN_W-1:0] STRIDE_COLUMN = STRIDE_COLUMNS_32[COLUMN_W-1:0];
  localparam [ROW_W-1:0] DILATION_ROW = DILATION_ROWS_32[ROW_W-1:0];
  localparam [COLUMN_W-1:0] DILATION_COLUMN = DILATION_COLUMNS_32[COLUMN_W-1:0];
  localparam [ADDRESS_W-1:0] BAND_FIRST = BAND_FIRST_32[ADDRESS_W-1:0];
  localparam [ADDRESS_W-1:0] BAND_STEP = BAND_STEP_32[ADDRESS_W-1:0];
  localparam [ADDRESS_W-1:0] BAND_BACK = BAND_BACK_32[ADDRESS_W-1:0];
  localparam [ADDRESS_W-1:0] ROW_STEP = ROW_STEP_32[ADDRESS_W-1:0];
  localparam [ADDRESS_W-1:0] LEFT_FIRST = LEFT_FIRST_32[ADDRESS_W-1:0];
  localparam [ADDRESS_W-1:0] LEFT_STEP = LEFT_STEP_32[ADDRESS_W-1:0];
  localparam [ADDRESS_W-1:0] COLUMN_STEP = COLUMN_STEP_32[ADDRESS_W-1:0];

  // Numbers of rows.
  localparam [31:0] RING_32 = RING;
  localparam [31:0] ROWS_32 = ROWS;
  localparam [31:0] PAD_TOP_32 = PAD_TOP;
  localparam [31:0] UNDER_32 = SPAN_ROWS - PAD_TOP;
  localparam [31:0] HELD_FIRST_32 = HELD_FIRST;
  localparam signed [HELD_W-1:0] ALL_LINES = RING_32[HELD_W-1:0];
  localparam signed [HELD_W-1:0] ALL_ROWS = ROWS_32[HELD_W-1:0];
  localparam signed [HELD_W-1:0] ABOVE = PAD_TOP_32[HELD_W-1:0];
  localparam signed [HELD_W-1:0] UNDER = UNDER_32[HELD_W-1:0];
  localparam signed [HELD_W-1:0] NEEDED_FIRST = HELD_FIRST_32[HELD_W-1:0];
  localparam signed [HELD_W-1:0] NONE = {HELD_W{1'b0}};

  // Writing: rows of the ring one after the other, whatever image they are of.
  reg [ADDRESS_W-1:0] write_reg;
  reg [LINE_W-1:0] write_place_reg;
  reg signed [HELD_W-1:0] held_reg;  // whole rows written and not given back; below 0: given back before they came

  // Reading: where the kernel is, counted in rows and columns of the padded image.
  reg [WORD_W-1:0] word_reg;
  reg [KERNEL_COLUMN_W-1:0] kernel_column_reg;
  reg [KERNEL_ROW_W-1:0] kernel_row_reg;
  reg [COLUMN_W-1:0] left_reg;  // the kernel's first column
  reg [COLUMN_W-1:0] column_reg;
  reg [ROW_W-1:0] band_reg;  // the kernel's first row
  reg signed [HELD_W-1:0] needed_reg;  // rows that are under the kernel, of those not given back
  reg [ROW_W-1:0] row_reg;
  reg [ADDRESS_W-1:0] left_address_reg;
  reg [ADDRESS_W-1:0] column_address_reg;
  reg [ADDRESS_W-1:0] band_address_reg;
  reg [ADDRESS_W-1:0] row_address_reg;

  reg output_valid_reg;
  reg in_image_reg;

  assign s_axis_tready = held_reg != ALL_LINES;
  wire accepted = s_axis_tvalid && s_axis_tready;
  wire row_complete = accepted && write_place_reg == LINE_LAST;

  // Rows of the image, counted from its first: a band needs those from `begin_row` on, up to its end; before `next_row`
  // nobody needs them when it is done. What the next band needs is worked out during this one.
  wire band_last = band_reg == BAND_LAST;
  wire [ROW_W-1:0] band_to = band_last ? {ROW_W{1'b0}} : band_reg + STRIDE_ROW;
  wire signed [HELD_W-1:0] band = {{(HELD_W - ROW_W) {1'b0}}, band_reg};
  wire signed [HELD_W-1:0] to = {{(HELD_W - ROW_W) {1'b0}}, band_to};
  wire signed [HELD_W-1:0] begin_row = (band > ABOVE) ? band - ABOVE : NONE;
  wire signed [HELD_W-1:0] to_begin = (to > ABOVE) ? to - ABOVE : NONE;
  wire signed [HELD_W-1:0] to_under = to + UNDER;
  wire signed [HELD_W-1:0] to_end = (to_under > ALL_ROWS) ? ALL_ROWS : to_under;
  wire signed [HELD_W-1:0] next_row = band_last ? ALL_ROWS : to_begin;

  wire output_free = !output_valid_reg || m_axis_tready;
  wire step = output_free && held_reg >= needed_reg;
  wire word_last = word_reg == WORD_LAST;
  wire pixel_done = step && word_last;
  wire kernel_row_done = pixel_done && kernel_column_reg == KERNEL_COLUMN_LAST;
  wire place_done = kernel_row_done && kernel_row_reg == KERNEL_ROW_LAST;
  wire band_done = place_done && left_reg == LEFT_LAST;

  // One more bit tells a sum beyond the ring.
  wire [ADDRESS_W:0] row_sum = {1'b0, row_address_reg} + {1'b0, ROW_STEP};
  wire [ADDRESS_W:0] band_sum = {1'b0, band_address_reg} + {1'b0, band_last ? BAND_BACK : BAND_STEP};
  wire [ADDRESS_W:0] row_over = row_sum - {1'b0, SIZE_LAST} - 1'b1;
  wire [ADDRESS_W:0] band_over = band_sum - {1'b0, SIZE_LAST} - 1'b1;
  wire [ADDRESS_W-1:0] row_next = row_over[ADDRESS_W] ? row_sum[ADDRESS_W-1:0] : row_over[ADDRESS_W-1:0];
  wire [ADDRESS_W-1:0] band_next = band_over[ADDRESS_W] ? band_sum[ADDRESS_W-1:0] : band_over[ADDRESS_W-1:0];
  wire [COLUMN_W-1:0] left_to = left_reg + STRIDE_COLUMN;
  wire [ADDRESS_W-1:0] left_address_to = left_address_reg + LEFT_STEP;

  always @(posedge clk) begin
    if (rst) begin
      write_reg <= {ADDRESS_W{1'b0}};
      write_place_reg <= {LINE_W{1'b0}};
      held_reg <= NONE;
    end else begin
      if (accepted) begin
        write_reg <= (write_reg == SIZE_LAST) ? {ADDRESS_W{1'b0}} : write_reg + 1'b1;
        write_place_reg <= (write_place_reg == LINE_LAST) ? {LINE_W{1'b0}} : write_place_reg + 1'b1;
      end
      held_reg <= held_reg + {{(HELD_W - 1) {1'b0}}, row_complete} - (band_done ? next_row - begin_row : NONE);
    end
  end

  always @(posedge clk) begin
    if (rst) begin
      word_reg <= {WORD_W{1'b0}};
      kernel_column_reg <= {KERNEL_COLUMN_W{1'b0}};
      kernel_row_reg <= {KERNEL_ROW_W{1'b0}};
      left_reg <= {COLUMN_W{1'b0}};
      column_reg <= {COLUMN_W{1'b0}};
      band_reg <= {ROW_W{1'b0}};
      needed_reg <= NEEDED_FIRST;
      row_reg <= {ROW_W{1'b0}};
      left_address_reg <= LEFT_FIRST;
      column_address_reg <= LEFT_FIRST;
      band_address_reg <= BAND_FIRST;
      row_address_reg <= BAND_FIRST;
    end else if (step) begin
      word_reg <= word_last ? {WORD_W{1'b0}} : word_reg + 1'b1;
      if (!pixel_done) begin
        column_address_reg <= column_address_reg + 1'b1;
      end else if (!kernel_row_done) begin
        kernel_column_reg <= kernel_column_reg + 1'b1;
        column_reg <= column_reg + DILATION_COLUMN;
        column_address_reg <= column_address_reg + COLUMN_STEP;
      end else begin
        kernel_column_reg <= {KERNEL_COLUMN_W{1'b0}};
        if (!place_done) begin
          kernel_row_reg <= kernel_row_reg + 1'b1;
          row_reg <= row_reg + DILATION_ROW;
          row_address_reg <= row_next;
          column_reg <= left_reg;
          column_address_reg <= left_address_reg;
        end else begin
          kernel_row_reg <= {KERNEL_ROW_W{1'b0}};
          if (!band_done) begin
            left_reg <= left_to;
            column_reg <= left_to;
            left_address_reg <= left_address_to;
            column_address_reg <= left_address_to;
            row_reg <= band_reg;
            row_address_reg <= band_address_reg;
          end else begin
            left_reg <= {COLUMN_W{1'b0}};
            column_reg <= {COLUMN_W{1'b0}};
            left_address_reg <= LEFT_FIRST;
            column_address_reg <= LEFT_FIRST;
            band_reg <= band_to;
            needed_reg <= to_end - to_begin;
            row_reg <= band_to;
            band_address_reg <= band_next;
            row_address_reg <= band_next;
          end
        end
      end
    end
  end

  wire in_rows, in_columns;
  generate
    if (PAD_TOP + PAD_BOTTOM == 0) begin : no_rows_outside
      assign in_rows = 1'b1;
    end else begin : rows_outside
      localparam [31:0] BEYOND_32 = ROWS + PAD_TOP;
      localparam [ROW_W:0] BEYOND = BEYOND_32[ROW_W:0];
      assign in_rows = {1'b0, row_reg} >= PAD_TOP_32[ROW_W:0] && {1'b0, row_reg} < BEYOND;
    end
    if (PAD_LEFT + PAD_RIGHT == 0) begin : no_columns_outside
      assign in_columns = 1'b1;
    end else begin : columns_outside
      localparam [31:0] PAD_LEFT_32 = PAD_LEFT;
      localparam [31:0] BEYOND_32 = COLUMNS + PAD_LEFT;
      localparam [COLUMN_W:0] BEYOND = BEYOND_32[COLUMN_W:0];
      assign in_columns = {1'b0, column_reg} >= PAD_LEFT_32[COLUMN_W:0] && {1'b0, column_reg} < BEYOND;
    end
  endgenerate
  wire in_image = in_rows && in_columns;

  wire [DATA_W-1:0] pixel;
  ram #(
      .WORDS(SIZE),
      .WIDTH(DATA_W)
  ) ring (
      .clk(clk),
      .write_enable(accepted),
      .write_address(write_reg),
      .write_data(s_axis_tdata),
      .read_enable(step && in_image),
      .read_address(row_address_reg + column_address_reg),
      .read_data(pixel)
  );

  always @(posedge clk) begin
    if (step) in_image_reg <= in_image;
    if (rst) output_valid_reg <= 1'b0;
    else if (output_free) output_valid_reg <= step;
  end

  assign m_axis_tvalid = output_valid_reg;
  genvar k;
  generate
    if (BIPOLAR == 0) begin : numbers
      assign m_axis_tdata = in_image_reg ? pixel : {DATA_W{1'b0}};
    end else begin : signs
      for (k = 0; k < DATA_W; k = k + 1) begin : bits
        assign m_axis_tdata[2*k+:2] = in_image_reg ? {!pixel[k], 1'b1} : 2'b00;
      end
    end
  endgenerate

endmodule

`default_nettype wire
