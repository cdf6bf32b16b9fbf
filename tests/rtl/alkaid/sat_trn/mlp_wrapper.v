`timescale 1 ns / 1 ps

module mlp_wrapper (
    input clk,
    // verilator lint_off UNUSEDSIGNAL,
    input wire [47:0] model_inp,
    // verilator lint_on UNUSEDSIGNAL,
    output wire [23:0] model_out
);

wire [47:0] model_inp_packed;
    wire [23:0] model_out_packed;

    assign model_inp_packed[47:0] = model_inp[47:0];
    assign model_out[23:0] = model_out_packed[23:0];

    mlp mlp_inst (
        .clk(clk),
        .model_inp(model_inp_packed),
        .model_out(model_out_packed)
    );

endmodule
