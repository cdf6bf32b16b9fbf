`timescale 1 ns / 1 ps

module logic1 (
    input [145:0] model_inp,
    output [42:0] model_out
);

    // verilator lint_off UNUSEDSIGNAL
    // Explicit quantization operation will drop bits if exists

    wire [6:0] v0; assign v0[6:0] = 'b1111111;
    wire [0:0] v1; assign v1[0:0] = 'b1;
    wire [11:0] v2; assign v2[11:0] = model_inp[11:0];
    wire [13:0] v3; assign v3[13:0] = model_inp[25:12];
    wire [14:0] v4; assign v4[14:0] = model_inp[40:26];
    wire [13:0] v5; assign v5[13:0] = model_inp[54:41];
    wire [11:0] v6; assign v6[11:0] = model_inp[66:55];
    wire [15:0] v7; assign v7[15:0] = model_inp[82:67];
    wire [15:0] v8; assign v8[15:0] = model_inp[98:83];
    wire [14:0] v9; assign v9[14:0] = model_inp[113:99];
    wire [15:0] v10; assign v10[15:0] = model_inp[129:114];
    wire [15:0] v11; assign v11[15:0] = model_inp[145:130];
    wire [16:0] v12; shift_adder #(14,12,1,1,17,0,-3,0) op_12 (v3[13:0],v6[11:0],v12[16:0]);
    wire [16:0] v13; shift_adder #(16,14,1,1,17,0,3,0) op_13 (v10[15:0],v5[13:0],v13[16:0]);
    wire [16:0] v14; shift_adder #(15,15,1,1,17,0,2,1) op_14 (v9[14:0],v4[14:0],v14[16:0]);
    wire [16:0] v15; shift_adder #(16,16,1,1,17,0,0,0) op_15 (v11[15:0],v7[15:0],v15[16:0]);
    wire [16:0] v16; shift_adder #(16,17,1,1,17,0,0,0) op_16 (v8[15:0],v12[16:0],v16[16:0]);
    wire [16:0] v17; shift_adder #(17,4,1,0,17,0,6,0) op_17 (v16[16:0],4'b1011,v17[16:0]);
    wire [9:0] v18; assign v18[9:0] = v17[16:7];
    wire [10:0] v19; shift_adder #(10,1,1,0,11,0,7,0) op_19 (v18[9:0],1'b1,v19[10:0]);
    wire [16:0] v20; shift_adder #(17,12,1,1,17,0,0,1) op_20 (v13[16:0],v2[11:0],v20[16:0]);
    wire [16:0] v21; shift_adder #(17,2,1,0,17,0,6,1) op_21 (v20[16:0],2'b11,v21[16:0]);
    wire [9:0] v22; assign v22[9:0] = v21[16:7];
    wire [10:0] v23; shift_adder #(10,1,1,0,11,0,7,0) op_23 (v22[9:0],1'b1,v23[10:0]);
    wire [16:0] v24; shift_adder #(17,14,1,1,17,0,0,1) op_24 (v14[16:0],v5[13:0],v24[16:0]);
    wire [16:0] v25; shift_adder #(17,6,1,0,17,0,6,0) op_25 (v24[16:0],6'b111101,v25[16:0]);
    wire [9:0] v26; assign v26[9:0] = v25[16:7];
    wire [10:0] v27; shift_adder #(10,1,1,0,11,0,7,0) op_27 (v26[9:0],1'b1,v27[10:0]);
    wire [16:0] v28; shift_adder #(17,12,1,1,17,0,2,1) op_28 (v15[16:0],v2[11:0],v28[16:0]);
    wire [16:0] v29; shift_adder #(17,6,1,0,17,0,6,1) op_29 (v28[16:0],6'b100001,v29[16:0]);
    wire [9:0] v30; assign v30[9:0] = v29[16:7];
    wire [9:0] v31; shift_adder #(10,1,1,0,10,0,7,0) op_31 (v30[9:0],1'b1,v31[9:0]);
    wire [9:0] v32; mux #(1,10,1,1,10,-7) op_32 (v19[10],v1[0:0],v18[9:0],v32[9:0]);
    wire [9:0] v33; shift_adder #(10,7,1,0,10,0,0,1) op_33 (v32[9:0],7'b1111111,v33[9:0]);
    wire [9:0] v34; mux #(1,10,1,1,10,-7) op_34 (v23[10],v1[0:0],v22[9:0],v34[9:0]);
    wire [9:0] v35; shift_adder #(10,7,1,0,10,0,0,1) op_35 (v34[9:0],7'b1111111,v35[9:0]);
    wire [9:0] v36; mux #(1,10,1,1,10,-7) op_36 (v27[10],v1[0:0],v26[9:0],v36[9:0]);
    wire [9:0] v37; shift_adder #(10,7,1,0,10,0,0,1) op_37 (v36[9:0],7'b1111111,v37[9:0]);
    wire [9:0] v38; mux #(1,10,1,1,10,-7) op_38 (v31[9],v1[0:0],v30[9:0],v38[9:0]);
    wire [8:0] v39; shift_adder #(10,7,1,0,9,0,0,1) op_39 (v38[9:0],7'b1111111,v39[8:0]);
    wire [7:0] v40; mux #(10,7,1,0,8,0) op_40 (v33[9],v32[9:0],v0[6:0],v40[7:0]);
    wire [6:0] v41; assign v41[6:0] = v40[6:0] & {7{~v40[7]}};
    wire [7:0] v42; mux #(10,7,1,0,8,0) op_42 (v35[9],v34[9:0],v0[6:0],v42[7:0]);
    wire [6:0] v43; assign v43[6:0] = v42[6:0] & {7{~v42[7]}};
    wire [14:0] v44; shift_adder #(7,7,0,0,15,0,-7,1) op_44 (v41[6:0],v43[6:0],v44[14:0]);
    wire [7:0] v45; mux #(10,7,1,0,8,0) op_45 (v37[9],v36[9:0],v0[6:0],v45[7:0]);
    wire [6:0] v46; assign v46[6:0] = v45[6:0] & {7{~v45[7]}};
    wire [7:0] v47; mux #(10,7,1,0,8,0) op_47 (v39[8],v38[9:0],v0[6:0],v47[7:0]);
    wire [6:0] v48; assign v48[6:0] = v47[6:0] & {7{~v47[7]}};

    // verilator lint_on UNUSEDSIGNAL

    assign model_out[6:0] = v41[6:0];
    assign model_out[13:7] = v43[6:0];
    assign model_out[28:14] = v44[14:0];
    assign model_out[35:29] = v46[6:0];
    assign model_out[42:36] = v48[6:0];

endmodule
