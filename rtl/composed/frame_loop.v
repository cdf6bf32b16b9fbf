`default_nettype none

// One copy of modules, the body, for all STEPS steps of a loop: an image comes from s0_axis, passes through the body
// STEPS times, by m0_axis and back by s1_axis, and leaves by m1_axis as the last step gives it.
//
// What a step gives waits in a FIFO of a whole image, so that the body can always give it, however far the next step is;
// the next image enters behind the last step of the one before, and meanwhile stays outside. Beats are counted on either
// side of the body: the first after reset is the first of an image's first step. Latency 0 from s0_axis to m0_axis and
// from s1_axis to m1_axis, 1 cycle from step to step; s0_axis_tready depends combinationally on m0_axis_tready, and
// s1_axis_tready on m1_axis_tready.
//
// Parameters
//   STEPS     steps of the loop, 2 or more
//   BEATS     beats of an image, 1 or more
//   LANES     values of a beat, 1 or more
//   X_W       width of a value that enters the loop, bits, 1 to Y_W
//   X_SIGNED  1: it is two's complement, 0: unsigned; so it is extended to what the body takes
//   Y_W       width of a value between the steps, bits
module frame_loop #(
    parameter STEPS = 4,
    parameter BEATS = 16,
    parameter LANES = 1,
    parameter X_W = 8,
    parameter X_SIGNED = 1,
    parameter Y_W = 8
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] s0_axis_tdata,   // an image
    input  wire                 s0_axis_tvalid,
    output wire                 s0_axis_tready,
    input  wire [LANES*Y_W-1:0] s1_axis_tdata,   // what the body gives
    input  wire                 s1_axis_tvalid,
    output wire                 s1_axis_tready,
    output wire [LANES*Y_W-1:0] m0_axis_tdata,   // what the body takes
    output wire                 m0_axis_tvalid,
    input  wire                 m0_axis_tready,
    output wire [LANES*Y_W-1:0] m1_axis_tdata,   // what the last step gives
    output wire                 m1_axis_tvalid,
    input  wire                 m1_axis_tready
);

  generate
    if (STEPS < 2) begin : illegal_steps
      illegal_parameter_STEPS_is_below_2 stop ();
    end
    if (BEATS < 1 || LANES < 1) begin : illegal_size
      illegal_parameter_BEATS_or_LANES_is_below_1 stop ();
    end
    if (X_W < 1 || X_W > Y_W) begin : illegal_x_w
      illegal_parameter_X_W_is_not_1_to_Y_W stop ();
    end
    if (X_SIGNED != 0 && X_SIGNED != 1) begin : illegal_x_signed
      illegal_parameter_X_SIGNED_is_not_0_or_1 stop ();
    end
  endgenerate

  localparam STEP_W = $clog2(STEPS);
  localparam BEAT_W = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam [31:0] STEP_LAST_32 = STEPS - 1;
  localparam [31:0] BEAT_LAST_32 = BEATS - 1;
  localparam [STEP_W-1:0] STEP_LAST = STEP_LAST_32[STEP_W-1:0];
  localparam [BEAT_W-1:0] BEAT_LAST = BEAT_LAST_32[BEAT_W-1:0];

  // The step and the beat that the body takes next, and those that it gives next.
  reg [STEP_W-1:0] take_step_reg;
  reg [BEAT_W-1:0] take_beat_reg;
  reg [STEP_W-1:0] give_step_reg;
  reg [BEAT_W-1:0] give_beat_reg;

  wire enters = take_step_reg == {STEP_W{1'b0}};
  wire leaves = give_step_reg == STEP_LAST;

  wire [LANES*Y_W-1:0] entering;
  wire [LANES*Y_W-1:0] kept;
  wire kept_valid;
  wire keep_ready;

  assign m0_axis_tdata  = enters ? entering : kept;
  assign m0_axis_tvalid = enters ? s0_axis_tvalid : kept_valid;
  assign s0_axis_tready = enters && m0_axis_tready;
  assign m1_axis_tdata  = s1_axis_tdata;
  assign m1_axis_tvalid = leaves && s1_axis_tvalid;
  assign s1_axis_tready = leaves ? m1_axis_tready : keep_ready;

  wire take = m0_axis_tvalid && m0_axis_tready;
  wire give = s1_axis_tvalid && s1_axis_tready;
  wire take_done = take && take_beat_reg == BEAT_LAST;
  wire give_done = give && give_beat_reg == BEAT_LAST;

  always @(posedge clk) begin
    if (rst) begin
      take_step_reg <= {STEP_W{1'b0}};
      take_beat_reg <= {BEAT_W{1'b0}};
      give_step_reg <= {STEP_W{1'b0}};
      give_beat_reg <= {BEAT_W{1'b0}};
    end else begin
      if (take) take_beat_reg <= take_done ? {BEAT_W{1'b0}} : take_beat_reg + 1'b1;
      if (take_done) take_step_reg <= (take_step_reg == STEP_LAST) ? {STEP_W{1'b0}} : take_step_reg + 1'b1;
      if (give) give_beat_reg <= give_done ? {BEAT_W{1'b0}} : give_beat_reg + 1'b1;
      if (give_done) give_step_reg <= leaves ? {STEP_W{1'b0}} : give_step_reg + 1'b1;
    end
  end

  axis_fifo #(
      .DEPTH (BEATS),
      .DATA_W(LANES * Y_W)
  ) image (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata(s1_axis_tdata),
      .s_axis_tvalid(!leaves && s1_axis_tvalid),
      .s_axis_tready(keep_ready),
      .m_axis_tdata(kept),
      .m_axis_tvalid(kept_valid),
      .m_axis_tready(!enters && m0_axis_tready)
  );

  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      if (X_W == Y_W) begin : as_it_is
        assign entering[Y_W*n+:Y_W] = s0_axis_tdata[X_W*n+:X_W];
      end else begin : extended
        wire above = (X_SIGNED == 1) && s0_axis_tdata[X_W*n+X_W-1];
        assign entering[Y_W*n+:Y_W] = {{(Y_W - X_W) {above}}, s0_axis_tdata[X_W*n+:X_W]};
      end
    end
  endgenerate

endmodule

`default_nettype wire
