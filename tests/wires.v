`default_nettype none

// Nothing but signals, which a testbench plays: a design that gives whatever is asked for.
module wires (
    input wire        clk,
    input wire        rst,
    input wire [15:0] w_tdata,
    input wire        w_tvalid,
    input wire        w_tready,
    input wire        w_tlast,
    input wire [ 1:0] w_tkeep,
    input wire [ 7:0] low,
    input wire [ 7:0] high,
    input wire [ 7:0] plain_data,
    input wire        plain_valid,
    input wire [11:0] twelve
);

endmodule

`default_nettype wire
