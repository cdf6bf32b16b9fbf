`default_nettype none

// FIFO of exactly DEPTH entries: with a stalled output it takes DEPTH values and not one more.
//
// The oldest value stands in an output register, the others in a memory with registered reads; both count towards
// DEPTH. A value that finds the FIFO empty goes straight to the output register: latency 1 cycle. tready depends on
// registers only, so a full FIFO that is read takes its next value one cycle later.
//
// Parameters
//   DEPTH   capacity, values, 1 or more (1: at most one value every two cycles)
//   DATA_W  width of a value, bits, 1 or more
module axis_fifo #(
    parameter DEPTH = 16,
    parameter DATA_W = 8
) (
    input  wire              clk,
    input  wire              rst,
    input  wire [DATA_W-1:0] s_axis_tdata,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,
    output wire [DATA_W-1:0] m_axis_tdata,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready
);

  generate
    if (DEPTH < 1) begin : illegal_depth
      illegal_parameter_DEPTH_is_below_1 stop ();
    end
    if (DATA_W < 1) begin : illegal_data_w
      illegal_parameter_DATA_W_is_below_1 stop ();
    end
  endgenerate

  reg [DATA_W-1:0] output_reg;
  reg output_valid_reg;

  assign m_axis_tdata  = output_reg;
  assign m_axis_tvalid = output_valid_reg;

  wire accepted = s_axis_tvalid && s_axis_tready;
  wire output_free = !output_valid_reg || m_axis_tready;

  generate
    if (DEPTH == 1) begin : single
      assign s_axis_tready = !output_valid_reg;

      always @(posedge clk) begin
        if (accepted) output_reg <= s_axis_tdata;
        if (rst) output_valid_reg <= 1'b0;
        else if (output_free) output_valid_reg <= accepted;
      end
    end else begin : several
      localparam STORED = DEPTH - 1;  // entries of the memory
      localparam INDEX_W = (STORED > 1) ? $clog2(STORED) : 1;
      localparam COUNT_W = $clog2(STORED + 1);
      localparam [31:0] STORED_32 = STORED;
      localparam [31:0] LAST_32 = STORED - 1;
      localparam [COUNT_W-1:0] FULL = STORED_32[COUNT_W-1:0];
      localparam [INDEX_W-1:0] LAST = LAST_32[INDEX_W-1:0];

      reg [DATA_W-1:0] memory[0:STORED-1];
      reg [INDEX_W-1:0] write_reg;
      reg [INDEX_W-1:0] read_reg;
      reg [COUNT_W-1:0] stored_reg;  // values in the memory; above 0 only while the output register is occupied

      assign s_axis_tready = stored_reg != FULL;

      wire empty = stored_reg == {COUNT_W{1'b0}};
      wire pull = output_free && !empty;
      wire push = accepted && !(output_free && empty);

      always @(posedge clk) begin
        if (push) memory[write_reg] <= s_axis_tdata;
      end

      always @(posedge clk) begin
        if (pull) output_reg <= memory[read_reg];
        else if (output_free) output_reg <= s_axis_tdata;
      end

      always @(posedge clk) begin
        if (rst) begin
          output_valid_reg <= 1'b0;
          write_reg <= {INDEX_W{1'b0}};
          read_reg <= {INDEX_W{1'b0}};
          stored_reg <= {COUNT_W{1'b0}};
        end else begin
          if (output_free) output_valid_reg <= pull || accepted;
          if (push) write_reg <= (write_reg == LAST) ? {INDEX_W{1'b0}} : write_reg + 1'b1;
          if (pull) read_reg <= (read_reg == LAST) ? {INDEX_W{1'b0}} : read_reg + 1'b1;
          if (push && !pull) stored_reg <= stored_reg + 1'b1;
          else if (pull && !push) stored_reg <= stored_reg - 1'b1;
        end
      end
    end
  endgenerate

endmodule

`default_nettype wire
