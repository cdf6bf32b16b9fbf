`timescale 1 ns / 1 ps

module logic2 (
    input [42:0] model_inp,
    output [58:0] model_out
);

    // verilator lint_off UNUSEDSIGNAL
    // Explicit quantization operation will drop bits if exists

    wire [6:0] v0; assign v0[6:0] = model_inp[6:0];
    wire [6:0] v1; assign v1[6:0] = model_inp[13:7];
    wire [14:0] v2; assign v2[14:0] = model_inp[28:14];
    wire [6:0] v3; assign v3[6:0] = model_inp[35:29];
    wire [6:0] v4; assign v4[6:0] = model_inp[42:36];
    wire [7:0] v5; shift_adder #(7,7,0,0,8,0,0,1) op_5 (v0[6:0],v1[6:0],v5[7:0]);
    wire [8:0] v6; shift_adder #(7,7,0,0,9,0,1,1) op_6 (v3[6:0],v1[6:0],v6[8:0]);
    wire [7:0] v7; shift_adder #(7,7,0,0,8,0,0,0) op_7 (v4[6:0],v3[6:0],v7[7:0]);
    wire [7:0] v8; shift_adder #(7,7,0,0,8,0,0,0) op_8 (v4[6:0],v0[6:0],v8[7:0]);
    wire [9:0] v9; shift_adder #(7,7,0,0,10,0,2,0) op_9 (v1[6:0],v4[6:0],v9[9:0]);
    wire [9:0] v10; shift_adder #(7,7,0,0,10,0,2,0) op_10 (v3[6:0],v4[6:0],v10[9:0]);
    wire [11:0] v11; shift_adder #(7,7,0,0,12,0,-5,1) op_11 (v4[6:0],v4[6:0],v11[11:0]);
    wire [14:0] v12; shift_adder #(15,7,1,0,15,0,5,1) op_12 (v2[14:0],v0[6:0],v12[14:0]);
    wire [14:0] v13; shift_adder #(8,7,1,0,15,0,6,1) op_13 (v5[7:0],v3[6:0],v13[14:0]);
    wire [10:0] v14; shift_adder #(10,7,0,0,11,0,1,1) op_14 (v10[9:0],v0[6:0],v14[10:0]);
    wire [12:0] v15; shift_adder #(8,9,1,1,13,0,-5,1) op_15 (v5[7:0],v6[8:0],v15[12:0]);
    wire [11:0] v16; shift_adder #(8,10,0,0,12,0,2,0) op_16 (v7[7:0],v9[9:0],v16[11:0]);
    wire [14:0] v17; shift_adder #(9,15,1,1,15,0,-5,0) op_17 (v6[8:0],v12[14:0],v17[14:0]);
    wire [13:0] v18; shift_adder #(12,8,0,1,14,0,2,1) op_18 (v11[11:0],v5[7:0],v18[13:0]);
    wire [13:0] v19; shift_adder #(8,11,0,1,14,0,-5,0) op_19 (v8[7:0],v14[10:0],v19[13:0]);
    wire [15:0] v20; shift_adder #(12,15,0,1,16,0,-1,0) op_20 (v16[11:0],v17[14:0],v20[15:0]);
    wire [15:0] v21; shift_adder #(15,14,1,1,16,0,2,0) op_21 (v13[14:0],v18[13:0],v21[15:0]);

    // verilator lint_on UNUSEDSIGNAL

    assign model_out[12:0] = v15[12:0];
    assign model_out[26:13] = v19[13:0];
    assign model_out[42:27] = v20[15:0];
    assign model_out[58:43] = v21[15:0];

endmodule
