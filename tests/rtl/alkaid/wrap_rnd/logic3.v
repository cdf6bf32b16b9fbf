`timescale 1 ns / 1 ps

module logic3 (
    input [58:0] model_inp,
    output [23:0] model_out
);

    // verilator lint_off UNUSEDSIGNAL
    // Explicit quantization operation will drop bits if exists

    wire [12:0] v0; assign v0[12:0] = model_inp[12:0];
    wire [13:0] v1; assign v1[13:0] = model_inp[26:13];
    wire [15:0] v2; assign v2[15:0] = model_inp[42:27];
    wire [15:0] v3; assign v3[15:0] = model_inp[58:43];
    wire [15:0] v4; shift_adder #(14,13,0,1,16,0,2,1) op_4 (v1[13:0],v0[12:0],v4[15:0]);
    wire [15:0] v5; shift_adder #(16,5,1,0,16,0,6,0) op_5 (v4[15:0],5'b11001,v5[15:0]);
    wire [7:0] v6; assign v6[7:0] = v5[14:7];
    wire [15:0] v7; shift_adder #(16,13,1,1,16,0,1,1) op_7 (v3[15:0],v0[12:0],v7[15:0]);
    wire [14:0] v8; shift_adder #(16,16,1,1,15,0,0,1) op_8 (v4[15:0],v7[15:0],v8[14:0]);
    wire [14:0] v9; shift_adder #(15,1,1,0,15,0,6,1) op_9 (v8[14:0],1'b1,v9[14:0]);
    wire [14:0] v10; negative #(15, 15, 1) op_10 (v9, v10[14:0]);
    wire [7:0] v11; assign v11[7:0] = v10[14:7];
    wire [15:0] v12; shift_adder #(16,15,1,1,16,0,0,0) op_12 (v2[15:0],v8[14:0],v12[15:0]);
    wire [15:0] v13; shift_adder #(16,5,1,0,16,0,6,1) op_13 (v12[15:0],5'b10001,v13[15:0]);
    wire [7:0] v14; assign v14[7:0] = v13[14:7];

    // verilator lint_on UNUSEDSIGNAL

    assign model_out[7:0] = v14[7:0];
    assign model_out[15:8] = v6[7:0];
    assign model_out[23:16] = v11[7:0];

endmodule
