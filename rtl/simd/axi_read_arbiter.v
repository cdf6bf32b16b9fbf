`default_nettype none

// Two read streams on one AXI4 read address channel: parameters with ARID 0, images with ARID 1.
//
// After `start` the first burst of the parameters goes before anything else; from then on an image goes before
// parameters. What has been taken stands on the channel until it is accepted. Latency 1 cycle, a burst a cycle.
//
// Parameters
//   ADDRESS_W  width of addresses, bits, 32 to 64
module axi_read_arbiter #(
    parameter ADDRESS_W = 64
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 start,
    input  wire                 parameter_valid,
    output wire                 parameter_ready,
    input  wire [ADDRESS_W-5:0] parameter_address,  // in words
    input  wire [          7:0] parameter_length,
    input  wire                 image_valid,
    output wire                 image_ready,
    input  wire [ADDRESS_W-5:0] image_address,
    input  wire [          7:0] image_length,
    output wire [          0:0] m_axi_arid,
    output wire [ADDRESS_W-1:0] m_axi_araddr,
    output wire [          7:0] m_axi_arlen,
    output wire                 m_axi_arvalid,
    input  wire                 m_axi_arready
);

  generate
    if (ADDRESS_W < 32 || ADDRESS_W > 64) begin : illegal_address_w
      illegal_parameter_ADDRESS_W_is_not_32_to_64 stop ();
    end
  endgenerate

  reg opened_reg;  // the parameters' first burst has gone
  reg valid_reg;
  reg image_reg;
  reg [ADDRESS_W-5:0] address_reg;
  reg [7:0] length_reg;

  wire free = !valid_reg || m_axi_arready;
  assign image_ready = free && opened_reg;
  wire take_image = image_valid && image_ready;
  assign parameter_ready = free && !take_image;

  always @(posedge clk) begin
    if (rst) valid_reg <= 1'b0;
    else if (free) valid_reg <= take_image || parameter_valid;

    // `start` would do where no image is offered before it, as in simd_memory. Reset so that the order holds for any user.
    if (rst || start) opened_reg <= 1'b0;
    else if (parameter_valid && parameter_ready) opened_reg <= 1'b1;

    if (free) begin
      image_reg   <= take_image;
      address_reg <= take_image ? image_address : parameter_address;
      length_reg  <= take_image ? image_length : parameter_length;
    end
  end

  assign m_axi_arid = image_reg;
  assign m_axi_araddr = {address_reg, 4'd0};
  assign m_axi_arlen = length_reg;
  assign m_axi_arvalid = valid_reg;

endmodule

`default_nettype wire
