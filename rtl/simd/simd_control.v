`default_nettype none

// What the accelerator is doing: idle, in a run, or bringing a failed run to its end; and what is to be known of it.
//
// `start` checks the configuration, which must have stood for a cycle. If it is sound, `begin_run` is high in the same
// cycle and `running` from the next one on, until the results of all images are acknowledged or until anything fails.
// Then `running` falls, so that nothing more is asked of the memory, and the run lasts until `reads_idle`, `writes_idle`
// and `address_idle` (no read address waits). The first error stays in `error_code`, with the layer where there is one
// (0 else); of errors in the same cycle the order is: read, write, loader, range, stop. `core_rst` holds everything but
// the memory's interface in reset unless `running`. `busy` from the cycle after begin_run to the end; `cycles` counts
// its cycles.
//
// BAD_COUNT goes before BAD_ADDRESS. Ends that depend on the number of images (see simd_range) are known up to 32
// cycles after the start; until `checked` no second image may be read. No result comes so early: the shortest layer has
// 19 words, and a tile takes longer than the rest of it.
//
// A memory that set RLAST wrong may owe answers for ever, or none although it seems to: after `read_broken` reads count
// as idle as soon as for QUIET cycles no read data has come and no read address has waited, before it or after.
//
// Parameters
//   ADDRESS_W  width of addresses, bits, 32 to 64
//   QUIET      cycles, 1 or more
module simd_control #(
    parameter ADDRESS_W = 64,
    parameter QUIET = 1024
) (
    input  wire        clk,
    input  wire        rst,
    input  wire        start,
    input  wire        stop,
    input  wire        clear_done,
    input  wire        clear_error,
    input  wire [63:0] param_address,
    input  wire [31:0] param_words,
    input  wire [31:0] image_count,
    input  wire [63:0] image_address,
    input  wire [31:0] image_words,
    input  wire [31:0] image_stride,
    input  wire [63:0] result_address,
    input  wire [31:0] result_words,
    input  wire [31:0] result_stride,
    output wire        begin_run,
    output wire        running,
    output wire        core_rst,
    output wire        checked,
    output wire        busy,
    output wire        done,
    output wire        error,
    output wire [ 7:0] error_code,
    output wire [15:0] error_layer,
    output wire [63:0] cycles,
    input  wire [31:0] images_done,
    input  wire        loader_error,
    input  wire [ 7:0] loader_code,
    input  wire [15:0] loader_layer,
    input  wire        read_error,       // RRESP
    input  wire        read_broken,      // RLAST or RID
    input  wire        read_beat,
    input  wire        address_idle,     // no read address waits to be accepted
    input  wire        reads_idle,
    input  wire        write_error,
    input  wire        writes_idle
);

  // Error codes; simd_loader has the others.
  localparam [7:0] NONE = 8'd0;
  localparam [7:0] BAD_ADDRESS = 8'd1;
  localparam [7:0] BAD_COUNT = 8'd2;
  localparam [7:0] READ_RESPONSE = 8'd6;
  localparam [7:0] WRITE_RESPONSE = 8'd7;
  localparam [7:0] READ_LAST = 8'd8;
  localparam [7:0] STOPPED = 8'd9;
  localparam QUIET_W = $clog2(QUIET + 1);
  localparam [31:0] QUIET_32 = QUIET;

  generate
    if (QUIET < 1) begin : illegal_quiet
      illegal_parameter_QUIET_is_below_1 stop ();
    end
  endgenerate

  // ---- The configuration, looked at all the time ----

  reg bad_count_reg;
  reg bad_address_reg;
  reg [60:0] param_last_reg;  // last word of the parameters, of the first image, of the first result
  reg [60:0] image_last_reg;
  reg [60:0] result_last_reg;

  always @(posedge clk) begin
    bad_count_reg <= param_words == 32'd0 || image_count == 32'd0 || image_words == 32'd0 || result_words == 32'd0;
    bad_address_reg <= |{param_address[3:0], image_address[3:0], image_stride[3:0], result_address[3:0],
                         result_stride[3:0]}
                       || {4'd0, image_stride[31:4]} < image_words || {4'd0, result_stride[31:4]} < result_words;
    param_last_reg <= {1'b0, param_address[63:4]} + {29'd0, param_words} - 61'd1;
    image_last_reg <= {1'b0, image_address[63:4]} + {29'd0, image_words} - 61'd1;
    result_last_reg <= {1'b0, result_address[63:4]} + {29'd0, result_words} - 61'd1;
  end

  wire bad_end = |{param_last_reg[60:ADDRESS_W-4], image_last_reg[60:ADDRESS_W-4], result_last_reg[60:ADDRESS_W-4]};
  wire bad_start = bad_count_reg || bad_address_reg || bad_end;
  assign begin_run = start && !bad_start;
  wire refused = start && bad_start;

  wire unused_last = &{1'b0, param_last_reg[ADDRESS_W-5:0]};

  wire [31:0] image_steps = image_count - 32'd1;
  wire images_checked;
  wire images_beyond;
  wire results_checked;
  wire results_beyond;

  simd_range #(
      .ADDRESS_W(ADDRESS_W)
  ) image_range (
      .clk(clk),
      .start(begin_run),
      .last(image_last_reg),
      .stride(image_stride[31:4]),
      .steps(image_steps),
      .checked(images_checked),
      .beyond(images_beyond)
  );

  simd_range #(
      .ADDRESS_W(ADDRESS_W)
  ) result_range (
      .clk(clk),
      .start(begin_run),
      .last(result_last_reg),
      .stride(result_stride[31:4]),
      .steps(image_steps),
      .checked(results_checked),
      .beyond(results_beyond)
  );

  wire range_error = running && (images_beyond || results_beyond);
  assign checked = images_checked && results_checked && !range_error;

  // ---- The run ----

  reg running_reg;
  reg busy_reg;
  reg done_reg;
  reg error_reg;
  reg [7:0] code_reg;
  reg [15:0] layer_reg;
  reg [63:0] cycles_reg;
  reg broken_reg;
  reg [QUIET_W-1:0] quiet_reg;

  wire quiet = quiet_reg == QUIET_32[QUIET_W-1:0];
  wire drained = writes_idle && address_idle && (reads_idle || (broken_reg && quiet));
  wire failed = read_error || read_broken || write_error || loader_error || range_error || stop;
  wire finished = running_reg && !failed && images_done == image_count;
  wire ended = finished || (busy_reg && !running_reg && drained);

  // All but running_reg and busy_reg are set by `start` as well: before the first one they are read as registers.
  always @(posedge clk) begin
    if (rst) begin
      running_reg <= 1'b0;
      busy_reg <= 1'b0;
      done_reg <= 1'b0;
      error_reg <= 1'b0;
      code_reg <= NONE;
      layer_reg <= 16'd0;
      cycles_reg <= 64'd0;
    end else begin
      if (begin_run) running_reg <= 1'b1;
      else if (failed || finished) running_reg <= 1'b0;

      if (begin_run) busy_reg <= 1'b1;
      else if (ended) busy_reg <= 1'b0;

      if (begin_run) done_reg <= 1'b0;
      else if (ended || refused) done_reg <= 1'b1;
      else if (clear_done) done_reg <= 1'b0;

      if (begin_run) error_reg <= 1'b0;
      else if ((ended && code_reg != NONE) || refused) error_reg <= 1'b1;
      else if (clear_error) error_reg <= 1'b0;

      if (start) begin
        code_reg  <= !bad_start ? NONE : bad_count_reg ? BAD_COUNT : BAD_ADDRESS;
        layer_reg <= 16'd0;
      end else if (running_reg && failed) begin
        code_reg <= read_error ? READ_RESPONSE
                    : read_broken ? READ_LAST
                    : write_error ? WRITE_RESPONSE
                    : loader_error ? loader_code
                    : range_error ? BAD_ADDRESS
                    : STOPPED;
        layer_reg <= (loader_error && !read_error && !read_broken && !write_error) ? loader_layer : 16'd0;
      end

      if (start) cycles_reg <= 64'd0;
      else if (busy_reg) cycles_reg <= cycles_reg + 64'd1;
    end

    // begin_run is enough for both: without a run neither is looked at. Reset so that they are known from then on; busy_reg
    // keeps broken_reg low between runs, for who looks at it, and nothing depends on it.
    if (rst || begin_run) broken_reg <= 1'b0;
    else if (read_broken && busy_reg) broken_reg <= 1'b1;

    if (rst || begin_run || read_beat || !address_idle) quiet_reg <= {QUIET_W{1'b0}};
    else if (!quiet) quiet_reg <= quiet_reg + 1'b1;
  end

  assign running = running_reg;
  assign core_rst = rst || !running_reg;
  assign busy = busy_reg;
  assign done = done_reg;
  assign error = error_reg;
  assign error_code = code_reg;
  assign error_layer = layer_reg;
  assign cycles = cycles_reg;

endmodule

`default_nettype wire
