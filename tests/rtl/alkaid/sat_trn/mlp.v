`timescale 1 ns / 1 ps

module mlp (
    input clk,
    input wire [47:0] model_inp,
    output reg [23:0] model_out
);

    wire [47:0] INTERNAL_logic0_inp;
    wire [145:0] INTERNAL_logic0_outp;
    wire [145:0] INTERNAL_logic1_inp;
    wire [42:0] INTERNAL_logic1_outp;
    wire [42:0] INTERNAL_logic2_inp;
    wire [58:0] INTERNAL_logic2_outp;
    wire [58:0] INTERNAL_logic3_inp;
    wire [23:0] INTERNAL_logic3_outp;
    reg [47:0] model_inp_reg;
    reg [145:0] stage1_inp;
    reg [42:0] stage2_inp;
    reg [58:0] stage3_inp;
    
    logic0 _inst_logic0 (.model_inp(INTERNAL_logic0_inp), .model_out(INTERNAL_logic0_outp));
    logic1 _inst_logic1 (.model_inp(INTERNAL_logic1_inp), .model_out(INTERNAL_logic1_outp));
    logic2 _inst_logic2 (.model_inp(INTERNAL_logic2_inp), .model_out(INTERNAL_logic2_outp));
    logic3 _inst_logic3 (.model_inp(INTERNAL_logic3_inp), .model_out(INTERNAL_logic3_outp));
    
    assign INTERNAL_logic0_inp[47:0] = model_inp_reg[47:0];
    assign INTERNAL_logic1_inp[145:0] = stage1_inp[145:0];
    assign INTERNAL_logic2_inp[42:0] = stage2_inp[42:0];
    assign INTERNAL_logic3_inp[58:0] = stage3_inp[58:0];

    always @(posedge clk) begin
            model_inp_reg[47:0] <= model_inp[47:0];
        stage1_inp[145:0] <= INTERNAL_logic0_outp[145:0];
        stage2_inp[42:0] <= INTERNAL_logic1_outp[42:0];
        stage3_inp[58:0] <= INTERNAL_logic2_outp[58:0];
        model_out[23:0] <= INTERNAL_logic3_outp[23:0];
        end

endmodule
