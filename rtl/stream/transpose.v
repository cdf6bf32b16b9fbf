`default_nettype none

// Transposes images of ROWS x COLS values: row-major in, column-major out, in one memory of ROWS * COLS values. Of more
// than one value a beat: see transpose_beats.v, which then does it.
//
// A value of the next image is written where a value of this image was just read, so the place of element e changes
// with every image. With L = ROWS * COLS - 1, output j < L is element j * COLS mod L of its image, and output L is
// element L. If element e of an image stands at e * stride mod L (the first image: stride 1), its output j is read
// from j * stride * COLS mod L; there element j of the next image goes, whose stride is therefore
// stride * COLS mod L. That is the place of element COLS, taken down as it is written: no multiplier. Output 1 is
// element COLS, so the stride is known in time for it.
//
// Output j leaves as soon as its element is there; one value a cycle is sustained across images. A value takes at
// least 2 cycles (memory, output register). In a gapless stream output j follows input j by
// DELAY = (ROWS - 1) * (COLS - 1) + 2 cycles. Either side's ready and valid depend on registers only.
// With one row or one column nothing moves: a register slice (1 cycle).
//
// Parameters
//   ROWS  rows of an image as it enters, 1 or more
//   COLS  columns of an image as it enters, 1 or more
//   LANES  values of a beat: 1, 2 or 4, of which ROWS and COLS then are multiples
// ROWS * COLS, where neither is 1: up to 2^24, the most words of a memory that every tool must take (IEEE 1364).
module transpose #(
    parameter ROWS = 64,
    parameter COLS = 96,
    parameter LANES = 1
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [8*LANES-1:0] s_axis_tdata,   // the first value lowest
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    output wire [8*LANES-1:0] m_axis_tdata,   // likewise
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready
);

  localparam WORDS_MAX = 16777216;

  generate
    if (ROWS < 1) begin : illegal_rows
      illegal_parameter_ROWS_is_below_1 stop ();
    end else if (COLS < 1) begin : illegal_cols
      illegal_parameter_COLS_is_below_1 stop ();
    end else if (LANES != 1 || ROWS == 1 || COLS == 1) begin : elsewhere
      if (LANES != 1) begin : beats
        transpose_beats #(
            .ROWS (ROWS),
            .COLS (COLS),
            .LANES(LANES)
        ) transpose_lanes (
            .clk(clk),
            .rst(rst),
            .s_axis_tdata(s_axis_tdata),
            .s_axis_tvalid(s_axis_tvalid),
            .s_axis_tready(s_axis_tready),
            .m_axis_tdata(m_axis_tdata),
            .m_axis_tvalid(m_axis_tvalid),
            .m_axis_tready(m_axis_tready)
        );
      end else begin : unmoved
        axis_register register_slice (
            .clk(clk),
            .rst(rst),
            .s_axis_tdata(s_axis_tdata),
            .s_axis_tvalid(s_axis_tvalid),
            .s_axis_tready(s_axis_tready),
            .m_axis_tdata(m_axis_tdata),
            .m_axis_tvalid(m_axis_tvalid),
            .m_axis_tready(m_axis_tready)
        );
      end
    end else begin : moved
      localparam SIZE = ROWS * COLS;
      localparam INDEX_W = $clog2(SIZE);
      localparam STEP_W = INDEX_W + 1;  // sum of two indices
      localparam [31:0] LAST_32 = SIZE - 1;
      localparam [31:0] COLS_32 = COLS;
      localparam [INDEX_W-1:0] LAST = LAST_32[INDEX_W-1:0];
      localparam [INDEX_W-1:0] BEFORE_LAST = LAST - 1'b1;
      localparam [INDEX_W-1:0] SECOND_ELEMENT = COLS_32[INDEX_W-1:0];
      localparam [INDEX_W-1:0] ZERO = {INDEX_W{1'b0}};
      localparam [INDEX_W-1:0] ONE = {{(INDEX_W - 1) {1'b0}}, 1'b1};

      reg [7:0] memory[0:SIZE-1];

      // Writer: the element that comes next, its place, the stride of its image, whether its image is an odd one.
      reg [INDEX_W-1:0] write_index_reg;
      reg [INDEX_W-1:0] write_place_reg;
      reg [INDEX_W-1:0] write_stride_reg;
      reg write_odd_reg;
      // Place of element COLS of the image that was written last as far as that.
      reg [INDEX_W-1:0] next_stride_reg;
      // Reader: the output that goes next, its element and place, the stride of its places.
      reg [INDEX_W-1:0] read_index_reg;
      reg [INDEX_W-1:0] read_element_reg;
      reg [INDEX_W-1:0] read_place_reg;
      reg [INDEX_W-1:0] read_stride_reg;
      reg read_odd_reg;

      reg [7:0] output_reg;
      reg output_valid_reg;

      // The writer is in the reader's image or in the next one, never further: it needs the places read before.
      wire same_image = write_odd_reg == read_odd_reg;
      wire readable = !same_image || write_index_reg > read_element_reg;
      wire writable = same_image || read_index_reg > write_index_reg;

      assign s_axis_tready = writable;
      assign m_axis_tdata  = output_reg;
      assign m_axis_tvalid = output_valid_reg;

      wire write = s_axis_tvalid && writable;
      wire output_free = !output_valid_reg || m_axis_tready;
      wire read = readable && output_free;

      wire read_second = read_index_reg == ONE;
      wire [INDEX_W-1:0] read_place = read_second ? next_stride_reg : read_place_reg;
      wire [INDEX_W-1:0] read_stride = read_second ? next_stride_reg : read_stride_reg;

      // Steps modulo LAST; both terms are below LAST wherever the result is used.
      wire [STEP_W-1:0] write_sum = {1'b0, write_place_reg} + {1'b0, write_stride_reg};
      wire [STEP_W-1:0] write_reduced = write_sum - {1'b0, LAST};
      wire [INDEX_W-1:0] write_step = write_reduced[STEP_W-1] ? write_sum[INDEX_W-1:0] : write_reduced[INDEX_W-1:0];
      wire [STEP_W-1:0] read_sum = {1'b0, read_place} + {1'b0, read_stride};
      wire [STEP_W-1:0] read_reduced = read_sum - {1'b0, LAST};
      wire [INDEX_W-1:0] read_step = read_reduced[STEP_W-1] ? read_sum[INDEX_W-1:0] : read_reduced[INDEX_W-1:0];
      wire [STEP_W-1:0] element_sum = {1'b0, read_element_reg} + {1'b0, SECOND_ELEMENT};
      wire [STEP_W-1:0] element_reduced = element_sum - {1'b0, LAST};
      wire [INDEX_W-1:0] element_step = element_reduced[STEP_W-1] ? element_sum[INDEX_W-1:0]
                                                                  : element_reduced[INDEX_W-1:0];

      always @(posedge clk) begin
        if (write) memory[write_place_reg] <= s_axis_tdata;
      end

      always @(posedge clk) begin
        if (write && write_index_reg == SECOND_ELEMENT) next_stride_reg <= write_place_reg;
        if (rst) begin
          write_index_reg <= ZERO;
          write_place_reg <= ZERO;
          write_stride_reg <= ONE;
          write_odd_reg <= 1'b0;
        end else if (write) begin
          if (write_index_reg == LAST) begin
            write_index_reg <= ZERO;
            write_place_reg <= ZERO;
            write_stride_reg <= next_stride_reg;
            write_odd_reg <= !write_odd_reg;
          end else begin
            write_index_reg <= write_index_reg + ONE;
            write_place_reg <= (write_index_reg == BEFORE_LAST) ? LAST : write_step;
          end
        end
      end

      always @(posedge clk) begin
        if (read) output_reg <= memory[read_place];
      end

      always @(posedge clk) begin
        if (read && read_second) read_stride_reg <= next_stride_reg;
        if (rst) begin
          output_valid_reg <= 1'b0;
          read_index_reg <= ZERO;
          read_element_reg <= ZERO;
          read_place_reg <= ZERO;
          read_odd_reg <= 1'b0;
        end else begin
          if (output_free) output_valid_reg <= readable;
          if (read) begin
            if (read_index_reg == LAST) begin
              read_index_reg <= ZERO;
              read_element_reg <= ZERO;
              read_place_reg <= ZERO;
              read_odd_reg <= !read_odd_reg;
            end else begin
              read_index_reg <= read_index_reg + ONE;
              read_element_reg <= (read_index_reg == BEFORE_LAST) ? LAST : element_step;
              read_place_reg <= (read_index_reg == BEFORE_LAST) ? LAST : read_step;
            end
          end
        end
      end
    end
  endgenerate

  generate
    if (ROWS > 1 && COLS > 1 && ROWS > WORDS_MAX / (COLS > 1 ? COLS : 2)) begin : illegal_size
      illegal_parameter_ROWS_times_COLS_is_above_16777216 stop ();
    end
  endgenerate

endmodule

`default_nettype wire
