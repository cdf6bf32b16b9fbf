`timescale 1 ns / 1 ps

module logic3 (
    input [58:0] model_inp,
    output [23:0] model_out
);

    // verilator lint_off UNUSEDSIGNAL
    // Explicit quantization operation will drop bits if exists

    wire [6:0] v0; assign v0[6:0] = 'b1111111;
    wire [12:0] v1; assign v1[12:0] = model_inp[12:0];
    wire [13:0] v2; assign v2[13:0] = model_inp[26:13];
    wire [15:0] v3; assign v3[15:0] = model_inp[42:27];
    wire [15:0] v4; assign v4[15:0] = model_inp[58:43];
    wire [15:0] v5; shift_adder #(14,13,0,1,16,0,2,1) op_5 (v2[13:0],v1[12:0],v5[15:0]);
    wire [15:0] v6; shift_adder #(16,5,1,0,16,0,6,0) op_6 (v5[15:0],5'b11001,v6[15:0]);
    wire [8:0] v7; assign v7[8:0] = v6[15:7];
    wire [8:0] v8; shift_adder #(9,7,1,0,9,0,0,1) op_8 (v7[8:0],7'b1111111,v8[8:0]);
    wire [15:0] v9; shift_adder #(16,13,1,1,16,0,1,1) op_9 (v4[15:0],v1[12:0],v9[15:0]);
    wire [7:0] v10; mux #(9,7,1,0,8,0) op_10 (v8[8],v7[8:0],v0[6:0],v10[7:0]);
    wire [14:0] v11; shift_adder #(16,16,1,1,15,0,0,1) op_11 (v5[15:0],v9[15:0],v11[14:0]);
    wire [14:0] v12; shift_adder #(15,1,1,0,15,0,6,1) op_12 (v11[14:0],1'b1,v12[14:0]);
    wire [14:0] v13; negative #(15, 15, 1) op_13 (v12, v13[14:0]);
    wire [7:0] v14; assign v14[7:0] = v13[14:7];
    wire [15:0] v15; shift_adder #(16,15,1,1,16,0,0,0) op_15 (v3[15:0],v11[14:0],v15[15:0]);
    wire [15:0] v16; shift_adder #(16,5,1,0,16,0,6,1) op_16 (v15[15:0],5'b10001,v16[15:0]);
    wire [8:0] v17; assign v17[8:0] = v16[15:7];
    wire [8:0] v18; shift_adder #(9,7,1,0,9,0,0,1) op_18 (v17[8:0],7'b1111111,v18[8:0]);
    wire [7:0] v19; mux #(9,7,1,0,8,0) op_19 (v18[8],v17[8:0],v0[6:0],v19[7:0]);

    // verilator lint_on UNUSEDSIGNAL

    assign model_out[7:0] = v19[7:0];
    assign model_out[15:8] = v10[7:0];
    assign model_out[23:16] = v14[7:0];

endmodule
