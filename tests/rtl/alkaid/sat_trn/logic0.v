`timescale 1 ns / 1 ps

module logic0 (
    input [47:0] model_inp,
    output [145:0] model_out
);

    // verilator lint_off UNUSEDSIGNAL
    // Explicit quantization operation will drop bits if exists

    wire [7:0] v0; assign v0[7:0] = model_inp[7:0];
    wire [7:0] v1; assign v1[7:0] = model_inp[15:8];
    wire [7:0] v2; assign v2[7:0] = model_inp[23:16];
    wire [7:0] v3; assign v3[7:0] = model_inp[31:24];
    wire [7:0] v4; assign v4[7:0] = model_inp[39:32];
    wire [7:0] v5; assign v5[7:0] = model_inp[47:40];
    wire [8:0] v6; shift_adder #(8,8,1,1,9,0,0,1) op_6 (v2[7:0],v5[7:0],v6[8:0]);
    wire [9:0] v7; shift_adder #(8,8,1,1,10,0,1,1) op_7 (v0[7:0],v1[7:0],v7[9:0]);
    wire [15:0] v8; shift_adder #(8,8,1,1,16,0,-7,0) op_8 (v5[7:0],v3[7:0],v8[15:0]);
    wire [11:0] v9; shift_adder #(8,8,1,1,12,0,-3,0) op_9 (v3[7:0],v3[7:0],v9[11:0]);
    wire [10:0] v10; shift_adder #(8,8,1,1,11,0,-2,0) op_10 (v3[7:0],v5[7:0],v10[10:0]);
    wire [9:0] v11; shift_adder #(8,8,1,1,10,0,1,0) op_11 (v2[7:0],v5[7:0],v11[9:0]);
    wire [10:0] v12; shift_adder #(8,8,1,1,11,0,2,0) op_12 (v5[7:0],v4[7:0],v12[10:0]);
    wire [14:0] v13; shift_adder #(8,8,1,1,15,0,6,0) op_13 (v1[7:0],v0[7:0],v13[14:0]);
    wire [9:0] v14; shift_adder #(8,8,1,1,10,0,-2,1) op_14 (v0[7:0],v0[7:0],v14[9:0]);
    wire [10:0] v15; shift_adder #(8,8,1,1,11,0,2,1) op_15 (v2[7:0],v4[7:0],v15[10:0]);
    wire [11:0] v16; shift_adder #(8,8,1,1,12,0,-3,1) op_16 (v1[7:0],v2[7:0],v16[11:0]);
    wire [12:0] v17; shift_adder #(8,8,1,1,13,0,4,1) op_17 (v1[7:0],v4[7:0],v17[12:0]);
    wire [12:0] v18; shift_adder #(8,8,1,1,13,0,4,1) op_18 (v3[7:0],v4[7:0],v18[12:0]);
    wire [11:0] v19; shift_adder #(8,9,1,1,12,0,-3,0) op_19 (v2[7:0],v6[8:0],v19[11:0]);
    wire [13:0] v20; shift_adder #(8,13,1,1,14,0,-5,0) op_20 (v3[7:0],v17[12:0],v20[13:0]);
    wire [12:0] v21; shift_adder #(12,10,1,1,13,0,2,0) op_21 (v9[11:0],v14[9:0],v21[12:0]);
    wire [13:0] v22; shift_adder #(12,9,1,1,14,0,4,0) op_22 (v16[11:0],v6[8:0],v22[13:0]);
    wire [10:0] v23; shift_adder #(11,10,1,1,11,0,0,0) op_23 (v12[10:0],v7[9:0],v23[10:0]);
    wire [11:0] v24; shift_adder #(12,10,1,1,12,0,1,0) op_24 (v9[11:0],v14[9:0],v24[11:0]);
    wire [11:0] v25; shift_adder #(11,11,1,1,12,0,0,0) op_25 (v15[10:0],v10[10:0],v25[11:0]);
    wire [13:0] v26; shift_adder #(10,9,1,1,14,0,-4,1) op_26 (v11[9:0],v6[8:0],v26[13:0]);
    wire [14:0] v27; shift_adder #(10,13,1,1,15,0,-4,0) op_27 (v7[9:0],v18[12:0],v27[14:0]);
    wire [15:0] v28; shift_adder #(15,8,1,1,16,0,6,1) op_28 (v13[14:0],v2[7:0],v28[15:0]);
    wire [13:0] v29; shift_adder #(13,11,1,1,14,0,2,0) op_29 (v17[12:0],v10[10:0],v29[13:0]);
    wire [14:0] v30; shift_adder #(12,8,1,1,15,0,7,1) op_30 (v16[11:0],v1[7:0],v30[14:0]);
    wire [11:0] v31; shift_adder #(12,10,1,1,12,0,1,1) op_31 (v25[11:0],v14[9:0],v31[11:0]);
    wire [15:0] v32; shift_adder #(13,11,1,1,16,0,-3,1) op_32 (v21[12:0],v23[10:0],v32[15:0]);
    wire [15:0] v33; shift_adder #(14,14,1,1,16,0,2,1) op_33 (v20[13:0],v20[13:0],v33[15:0]);
    wire [14:0] v34; shift_adder #(14,16,1,1,15,0,0,1) op_34 (v26[13:0],v8[15:0],v34[14:0]);
    wire [15:0] v35; shift_adder #(16,12,1,1,16,0,1,1) op_35 (v28[15:0],v24[11:0],v35[15:0]);
    wire [15:0] v36; shift_adder #(15,13,1,1,16,0,1,1) op_36 (v30[14:0],v18[12:0],v36[15:0]);

    // verilator lint_on UNUSEDSIGNAL

    assign model_out[11:0] = v19[11:0];
    assign model_out[25:12] = v22[13:0];
    assign model_out[40:26] = v27[14:0];
    assign model_out[54:41] = v29[13:0];
    assign model_out[66:55] = v31[11:0];
    assign model_out[82:67] = v32[15:0];
    assign model_out[98:83] = v33[15:0];
    assign model_out[113:99] = v34[14:0];
    assign model_out[129:114] = v35[15:0];
    assign model_out[145:130] = v36[15:0];

endmodule
